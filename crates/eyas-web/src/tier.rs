//! Both tiers as JavaScript sees them.

use std::{collections::BTreeMap, rc::Rc};

use eyas_core::{Error, ErrorKind, Event, Result, TokenSignal};
use eyas_engine::{Engine, Generation, Prompt, Request, Session};
use eyas_tier::{
    LoadSentinel, LocalAnswer, LocalFuture, LocalSide, LocalTier, Ports, TierAnswer, TierConfig, TierRequest, Tiers,
};
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

use crate::{
    cancel_handle::CancelHandle,
    engine::WasmEngine,
    host::{HostNetwork, HostStore, HostTokens, TierHost, report_egress},
    host_clock::HostClock,
    js_error::js_error,
    js_value,
};

/// The tiers of one engine, with its sessions.
#[wasm_bindgen]
pub struct WasmTier {
    tiers: Tiers,
    host: TierHost,
    engine: std::result::Result<Engine, (ErrorKind, String)>,
    sessions: BTreeMap<u32, Session>,
    loading: Option<LoadSentinel>,
}

#[wasm_bindgen]
impl WasmTier {
    /// `config` as `eyas_tier::TierConfig`.
    #[wasm_bindgen(constructor)]
    pub fn new(config: &JsValue, host: TierHost) -> std::result::Result<WasmTier, JsValue> {
        let tiers = js_value::read::<TierConfig>(config, "load options").and_then(|config| {
            let (told, timers) = (host.clone(), host.clone());
            let ports = Ports {
                clock: Rc::new(HostClock::new(move |ms| timers.sleep(ms))),
                network: Rc::new(HostNetwork(host.clone())),
                tokens: Rc::new(HostTokens(host.clone())),
                listener: Some(Rc::new(move |entry| report_egress(&told, entry))),
            };
            Tiers::new(config, ports)
        });
        let tiers = tiers.map_err(|error| js_error(&error))?;
        let engine = Err((ErrorKind::Internal, "no model was loaded yet".to_owned()));
        Ok(Self { tiers, host, engine, sessions: BTreeMap::new(), loading: None })
    }

    /// Sets the mark under `key` that a load is under way; `over-budget` where the last one never ended.
    #[wasm_bindgen(js_name = "beginLoad")]
    pub async fn begin_load(&mut self, key: String) -> std::result::Result<(), JsValue> {
        let mark = LoadSentinel::begin(&HostStore(self.host.clone()), &key).await;
        self.loading = Some(mark.map_err(|error| js_error(&error))?);
        Ok(())
    }

    /// Takes the mark away.
    #[wasm_bindgen(js_name = "endLoad")]
    pub async fn end_load(&mut self) {
        if let Some(mark) = self.loading.take() {
            mark.end(&HostStore(self.host.clone())).await;
        }
    }

    /// The device's model.
    pub fn attach(&mut self, engine: &WasmEngine) {
        match engine.decoder() {
            Ok(decoder) => {
                let info = decoder.info();
                self.tiers.set_model(&info.fingerprint, info.quantize.name());
                if let Some(calibration) = engine.calibration() {
                    self.tiers.offer_calibration(calibration.clone());
                }
                self.engine = Ok(decoder);
            }
            // It answers embed() and classify() only.
            Err(error) => self.engine = Err((error.kind(), error.detail().to_owned())),
        }
    }

    /// The device has no model: the error of the load. Returns whether the cloud may answer all the same.
    pub fn detach(&mut self, code: &str, message: String) -> bool {
        let kind = ErrorKind::ALL.iter().copied().find(|kind| kind.code() == code);
        self.engine = Err((kind.unwrap_or(ErrorKind::Internal), message));
        self.tiers.cloud_may_answer()
    }

    /// Begins an answer: `request` as `eyas_engine::Request`, `tier` as `eyas_tier::TierRequest` without messages and options.
    pub fn start(
        &mut self,
        request: &JsValue,
        tier: &JsValue,
        cancel: &CancelHandle,
    ) -> std::result::Result<WasmAnswer, JsValue> {
        let started = js_value::read::<Request>(request, "request").and_then(|request| {
            let mut tier: TierRequest = js_value::read(tier, "request")?;
            request.options.validate()?;
            if let Prompt::Messages(messages) = &request.prompt {
                tier.messages = Some(messages.clone());
            }
            tier.options = request.options.clone();
            tier.has_tools = request.tools.is_some();
            tier.has_template_variables = !request.template_variables.is_empty();
            let local: LocalSide = match &self.engine {
                Ok(engine) => {
                    let session = self.sessions.entry(tier.session).or_insert_with(|| engine.session()).clone();
                    Ok(Box::new(DeviceSide { session, request, labels: tier.labels.clone() }))
                }
                Err((kind, message)) => Err(Error::new(*kind, message.clone())),
            };
            Ok(self.tiers.start(tier, local, cancel.share().token))
        });
        started.map(WasmAnswer).map_err(|error| js_error(&error))
    }

    /// Makes `to` a second session with the past of `from`.
    pub async fn fork(&mut self, from: u32, to: u32) -> std::result::Result<(), JsValue> {
        self.tiers.fork(from, to);
        if let Some(session) = self.sessions.get(&from).cloned() {
            let fork = session.fork().await.map_err(|error| js_error(&error))?;
            self.sessions.insert(to, fork);
        }
        Ok(())
    }

    /// Frees a session.
    #[wasm_bindgen(js_name = "closeSession")]
    pub fn close_session(&mut self, session: u32) {
        self.sessions.remove(&session);
        self.tiers.forget(session);
    }
}

/// An answer in the making. Freeing it stops it.
#[wasm_bindgen]
pub struct WasmAnswer(TierAnswer);

#[wasm_bindgen]
impl WasmAnswer {
    /// The next `eyas_tier::TierEvent` as an object; the last one is `{ type: "done", … }`.
    #[wasm_bindgen(js_name = "next")]
    pub async fn step(&mut self) -> std::result::Result<JsValue, JsValue> {
        let event = self.0.next().await.map_err(|error| js_error(&error))?;
        js_value::write(&event)
    }
}

/// The device's side of one request.
struct DeviceSide {
    session: Session,
    request: Request,
    labels: Vec<String>,
}

impl LocalTier for DeviceSide {
    fn start(&self, watch: bool) -> Result<Box<dyn LocalAnswer>> {
        let mut generation = self.session.start(&self.request)?;
        if watch {
            generation.watch_labels(&self.labels)?;
        }
        Ok(Box::new(DeviceAnswer(generation)))
    }
}

struct DeviceAnswer(Generation);

impl LocalAnswer for DeviceAnswer {
    fn next(&mut self) -> LocalFuture<'_, Result<Event>> {
        Box::pin(self.0.next())
    }

    fn pending_tokens(&self) -> usize {
        self.0.pending_tokens()
    }

    fn signals(&self) -> &[TokenSignal] {
        self.0.signals()
    }
}
