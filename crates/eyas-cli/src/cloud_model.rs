//! A cloud model that answers tasks, by the very code that asks it in a browser.

use std::{env, rc::Rc, time::Duration};

use clap::Args;
use eyas_core::{CancelToken, Error, ErrorKind, GenerateOptions, Message, Result};
use eyas_tier::{Clock, LocalFuture, Ports, Privacy, TierConfig, TierEvent, TierRequest, Tiers, TokenSource};
use serde_json::json;

use crate::{http_network::HttpNetwork, system_clock::SystemClock};

/// The flags that name a cloud model.
#[derive(Debug, Args)]
pub struct CloudFlags {
    /// An OpenAI-compatible server on this machine that answers the tasks too, e.g. <http://localhost:4000/v1>
    #[arg(long = "cloud", value_name = "URL", requires = "cloud_model")]
    endpoint: Option<String>,
    /// The model that it is asked for
    #[arg(long, value_name = "NAME", requires = "endpoint")]
    cloud_model: Option<String>,
    /// The environment variable with its token
    #[arg(long, value_name = "NAME", requires = "endpoint")]
    cloud_token: Option<String>,
}

/// What it answered.
pub struct CloudAnswer {
    /// The text.
    pub text: String,
    /// Bytes that were sent for it.
    pub bytes: u64,
    /// Milliseconds until it was complete.
    pub ms: f64,
}

/// A server that is asked.
pub struct CloudModel(Tiers);

impl CloudModel {
    /// The server that the flags name, if they do.
    pub fn open(flags: &CloudFlags) -> Result<Option<Self>> {
        let (Some(endpoint), Some(model)) = (&flags.endpoint, &flags.cloud_model) else { return Ok(None) };
        let token = flags.cloud_token.as_ref().map(|name| {
            env::var(name).map_err(|_| Error::bad_input(format!("the environment variable {name} has no text; expected a token")))
        });
        // A key in this machine's environment is where it belongs; the check is for pages that anybody can open.
        let cloud = json!({ "endpoint": endpoint, "model": model, "dangerouslySendLongLivedSecretsFromTheBrowser": true });
        let config: TierConfig =
            serde_json::from_value(json!({ "cloud": cloud })).map_err(|error| Error::internal(error.to_string()))?;
        let patience = config.cloud.as_ref().map_or(0.0, |cloud| cloud.retry.idle_timeout_ms);
        let ports = Ports {
            clock: Rc::new(SystemClock::start()),
            network: Rc::new(HttpNetwork { patience: Duration::from_secs_f64(patience / 1000.0) }),
            tokens: Rc::new(FixedToken(token.transpose()?)),
            listener: None,
        };
        Ok(Some(Self(Tiers::new(config, ports)?)))
    }

    /// Asks it; fails as the cloud does.
    pub async fn answer(&self, input: &str, options: &GenerateOptions) -> Result<CloudAnswer> {
        let request = TierRequest {
            privacy: vec![Privacy::PreferCloud],
            messages: Some(vec![Message::user(input)]),
            options: options.clone(),
            ..TierRequest::default()
        };
        let nobody = Err(Error::new(ErrorKind::ModelNotFound, "this run asks the cloud"));
        let mut answer = self.0.start(request, nobody, CancelToken::new());
        loop {
            if let TierEvent::Done(done) = answer.next().await? {
                let provenance = done.provenance;
                return Ok(CloudAnswer { text: done.text, bytes: provenance.bytes_sent, ms: provenance.ms });
            }
        }
    }
}

struct FixedToken(Option<String>);

impl TokenSource for FixedToken {
    fn token(&self, _: bool) -> LocalFuture<'_, Result<Option<String>>> {
        Box::pin(std::future::ready(Ok(self.0.clone())))
    }
}

impl Clock for SystemClock {
    fn now_ms(&self) -> f64 {
        eyas_engine::Clock::now_ms(self)
    }

    fn unix_ms(&self) -> f64 {
        crate::system_clock::local_seconds() as f64 * 1000.0
    }

    /// Everything blocks here, so that nothing else could be done meanwhile; a pause that is only held against work that is done never begins.
    fn sleep(&self, ms: f64) -> LocalFuture<'static, ()> {
        Box::pin(async move { std::thread::sleep(Duration::from_secs_f64(ms.max(0.0) / 1000.0)) })
    }
}
