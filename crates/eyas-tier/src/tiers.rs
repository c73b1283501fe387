//! Both tiers of one engine, with what they share: the policy, the ledger, the taints and the measured speed.

use std::{
    cell::{Cell, OnceCell, RefCell},
    rc::Rc,
};

use eyas_core::{CancelToken, Error, GenerateOptions, Message, Result};
use serde::Deserialize;

use crate::{
    Calibration, Clock, EgressLedger, EgressListener, Endpoint, LocalTier, MidStream, Network, Privacy, Taints, Threshold,
    TierAnswer, TierConfig, TokenSource, cloud_call::Cloud, first_token_speed::FirstTokenSpeed, network::Gate,
};

/// What the shell gives.
pub struct Ports {
    /// Time.
    pub clock: Rc<dyn Clock>,
    /// The way out.
    pub network: Rc<dyn Network>,
    /// The application's tokens.
    pub tokens: Rc<dyn TokenSource>,
    /// Hears of every entry of the ledger.
    pub listener: Option<EgressListener>,
}

/// A request, as far as the tiers are concerned.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own about the request")]
pub struct TierRequest {
    /// Its number in the ledger and the provenance; absent: the next one.
    pub number: Option<u64>,
    /// The session; forks and retries have their own numbers.
    pub session: u32,
    /// What session and request ask for; the strictest wins, the engine's included.
    pub privacy: Vec<Privacy>,
    /// Other than the engine's.
    pub mid_stream: Option<MidStream>,
    /// The task, by which the calibration is found; `default` where none is named.
    pub task: Option<String>,
    /// The answer should be JSON. It also should where the task is `extraction`, or the task's threshold is one of structure.
    pub expects_json: bool,
    /// Tell the signals even where nothing depends on them.
    pub signals: bool,
    /// The answer should begin with one of these: the first token's margin is then that among them. The shell looks at them.
    pub labels: Vec<String>,
    /// The messages; absent where raw text is to be continued, which only the device can.
    pub messages: Option<Vec<Message>>,
    /// How to sample.
    pub options: GenerateOptions,
    /// The seed in the options is the engine's own, so that an answer can be computed again; the application asked for none.
    pub own_seed: bool,
    /// What became of this request before.
    pub earlier: Earlier,
    /// The device's template gets tools.
    pub has_tools: bool,
    /// The device's template gets variables.
    pub has_template_variables: bool,
}

/// What became of a request whose device was lost, before it began anew.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Earlier {
    /// Times that the cloud was asked, each with all its attempts.
    pub cloud_rounds: u32,
    /// Requests that were handed to the network.
    pub cloud_attempts: u32,
    /// Whether one of them was answered with the status 401, so that a new token was asked for.
    pub token_refused: bool,
    /// Bytes of their bodies.
    pub bytes_sent: u64,
    /// Runs on the device.
    pub runs: u32,
    /// Text that was shown and not withdrawn. The device says it again; where the cloud takes over, it is withdrawn or appended to.
    pub shown_text: String,
    /// Reasoning that was shown and not withdrawn.
    pub shown_reasoning: String,
}

/// The device's side of one request: a model, or why there is none.
pub type LocalSide = Result<Box<dyn LocalTier>>;

/// What all answers of an engine share.
pub(crate) struct Shared {
    pub(crate) config: TierConfig,
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) cloud: Option<Rc<Cloud>>,
    pub(crate) clock: Rc<dyn Clock>,
    pub(crate) taints: RefCell<Taints>,
    pub(crate) speed: Cell<FirstTokenSpeed>,
    pub(crate) model: RefCell<ModelIdentity>,
    /// What the model's publisher says, where the application says nothing.
    offered: OnceCell<Calibration>,
    last_request: Cell<u64>,
}

/// What a calibration is for, besides the task.
#[derive(Debug, Clone, Default)]
pub(crate) struct ModelIdentity {
    fingerprint: String,
    quantize: String,
}

/// Both tiers of one engine.
pub struct Tiers {
    shared: Rc<Shared>,
    ledger: Rc<EgressLedger>,
}

impl Tiers {
    /// Checks the configuration (`bad-input`) and connects it with the shell.
    pub fn new(config: TierConfig, ports: Ports) -> Result<Self> {
        let endpoint = config.validate()?;
        let ledger = Rc::new(EgressLedger::new(ports.listener));
        let cloud = config.cloud.clone().zip(endpoint.as_ref()).map(|(config, endpoint)| {
            let gate = Gate { network: ports.network, ledger: ledger.clone() };
            Rc::new(Cloud { config, url: endpoint.url().to_owned(), gate, tokens: ports.tokens, clock: ports.clock.clone() })
        });
        let scope = config.cloud.as_ref().map(|cloud| cloud.taint_scope).unwrap_or_default();
        let shared = Shared {
            config,
            endpoint,
            cloud,
            clock: ports.clock,
            taints: RefCell::new(Taints::new(scope)),
            speed: Cell::default(),
            model: RefCell::default(),
            offered: OnceCell::new(),
            last_request: Cell::new(0),
        };
        Ok(Self { shared: Rc::new(shared), ledger })
    }

    /// Says which model the device has, for the calibration.
    pub fn set_model(&self, fingerprint: &str, quantize: &str) {
        *self.shared.model.borrow_mut() = ModelIdentity { fingerprint: fingerprint.into(), quantize: quantize.into() };
    }

    /// A calibration that came with the model: it counts where the configuration has none, from now on. The first one stays.
    pub fn offer_calibration(&self, calibration: Calibration) {
        // A second one of the same engine is of the same manifest.
        let _ = self.shared.offered.set(calibration);
    }

    /// Begins an answer. Nothing happens before its first [`TierAnswer::next`], except that a local-only request marks its session.
    pub fn start(&self, request: TierRequest, local: LocalSide, cancel: CancelToken) -> TierAnswer {
        let id = request.number.unwrap_or(self.shared.last_request.get() + 1);
        self.shared.last_request.set(id);
        TierAnswer::new(self.shared.clone(), id, request, local, cancel)
    }

    /// Whether a load that fails still leaves somebody who may answer.
    pub fn cloud_may_answer(&self) -> bool {
        self.shared.cloud.is_some() && self.shared.config.privacy.allows_cloud()
    }

    /// The configuration.
    pub fn config(&self) -> &TierConfig {
        &self.shared.config
    }

    /// Every byte that left.
    pub fn ledger(&self) -> &EgressLedger {
        &self.ledger
    }

    /// A fork of a session knows, and keeps to itself, what its origin knows.
    pub fn fork(&self, from: u32, to: u32) {
        self.shared.taints.borrow_mut().fork(from, to);
    }

    /// A session is gone, with all that was said in it.
    pub fn forget(&self, session: u32) {
        self.shared.taints.borrow_mut().forget(session);
    }
}

impl Shared {
    /// The threshold for this engine's model and a task.
    pub(crate) fn threshold(&self, task: Option<&str>) -> Option<&Threshold> {
        let model = self.model.borrow();
        self.config.calibration.as_ref().or(self.offered.get())?.find(
            &model.fingerprint,
            &model.quantize,
            task.unwrap_or("default"),
        )
    }
}

/// Whether a failure of the device means that it can't, rather than that the request is wrong or given up.
pub(crate) fn is_inability(error: &Error) -> bool {
    !matches!(error.code(), "bad-input" | "aborted")
}
