//! An answer in the making, by whichever tier.

use std::{collections::VecDeque, rc::Rc};

use eyas_core::{CancelToken, Completion, Error, ErrorKind, Event, Message, Result, Role, Tier};

use crate::{
    Confidence, LocalAnswer, LocalSide, LocalTier, MidStream, Privacy, Reason, Refusal, Signal, TierCompletion, TierEvent,
    TierRequest,
    cloud_call::{CloudCall, CloudStep, Dispatch},
    finished::{CloudEnd, Finished, LocalEnd},
    leave::leave,
    shown_text::ShownText,
    tiers::{Shared, is_inability},
};

/// The task whose answers are JSON without the request saying so.
const EXTRACTION: &str = "extraction";

/// An answer that is computed step by step. Dropping it stops both tiers.
pub struct TierAnswer {
    shared: Rc<Shared>,
    id: u64,
    request: TierRequest,
    privacy: Privacy,
    cancel: CancelToken,
    started_ms: f64,
    stage: Stage,
    /// The device's side, until it is used.
    local: Option<LocalSide>,
    /// The way to the cloud, until it is used; or why it is closed.
    cloud: Result<Dispatch, Refusal>,
    downgrades: Vec<String>,
    hold: bool,
    /// Whether what the device says here must not leave either.
    is_secret: bool,
    shown: ShownText,
    /// Why the device's attempt ended without an answer.
    local_error: Option<Error>,
    /// A local run that is too slow, in case that the cloud fails.
    paused: Option<Box<dyn LocalAnswer>>,
    /// A complete local answer that is not confident enough.
    doubted: Option<LocalEnd>,
    runs: u32,
    /// Attempts and bytes of a cloud call that failed.
    cloud_attempts: u32,
    cloud_bytes: u64,
    outbox: VecDeque<TierEvent>,
}

enum Stage {
    Begin,
    Local(Box<dyn LocalAnswer>),
    Cloud { call: Box<CloudCall>, why: Refusal, text: String },
    Over,
}

impl TierAnswer {
    pub(crate) fn new(shared: Rc<Shared>, id: u64, request: TierRequest, local: LocalSide, cancel: CancelToken) -> Self {
        let privacy = request.privacy.iter().fold(shared.config.privacy, |strictest, privacy| strictest.combine(*privacy));
        let is_secret = privacy == Privacy::LocalOnly || holds_secrets(&shared, &request);
        if privacy == Privacy::LocalOnly {
            taint_question(&shared, &request);
        }
        let left = leave(&shared, id, privacy, &request);
        let mid_stream = request.mid_stream.unwrap_or(shared.config.mid_stream);
        let hold = mid_stream == MidStream::Hold && left.is_ok();
        let (cloud, downgrades) = match left {
            Ok((dispatch, downgrades)) => (Ok(dispatch), downgrades),
            Err(refusal) => (Err(refusal), Vec::new()),
        };
        Self {
            id,
            privacy,
            cancel,
            started_ms: shared.clock.now_ms(),
            stage: Stage::Begin,
            local: Some(local),
            cloud,
            downgrades,
            hold,
            is_secret,
            shown: ShownText::after(&request.earlier),
            local_error: None,
            paused: None,
            doubted: None,
            runs: request.earlier.runs,
            cloud_attempts: request.earlier.cloud_attempts,
            cloud_bytes: request.earlier.bytes_sent,
            outbox: VecDeque::new(),
            shared,
            request,
        }
    }

    /// The next event; [`TierEvent::Done`] comes once, at the end. Fails once at most; after the end, or a failure, with `bad-input`.
    pub async fn next(&mut self) -> Result<TierEvent> {
        loop {
            if let Some(event) = self.outbox.pop_front() {
                return Ok(event);
            }
            if matches!(self.stage, Stage::Over) {
                return Err(Error::bad_input("the answer is complete; start another one"));
            }
            let step = match self.cancel.check() {
                Ok(()) => self.step().await,
                Err(aborted) => Err(aborted),
            };
            if let Err(error) = step {
                self.stage = Stage::Over;
                self.outbox.clear();
                self.keep_secret();
                return Err(error);
            }
        }
    }

    async fn step(&mut self) -> Result<()> {
        match &mut self.stage {
            Stage::Begin => self.begin(),
            Stage::Local(local) => {
                let event = local.next().await;
                self.cancel.check()?;
                self.local_event(event)
            }
            Stage::Cloud { call, .. } => {
                let step = call.step().await;
                self.cancel.check()?;
                self.cloud_step(step)
            }
            Stage::Over => Ok(()),
        }
    }

    /// Chooses the tier that goes first.
    fn begin(&mut self) -> Result<()> {
        let saving = self.shared.config.saving;
        if self.cloud.is_ok() && saving.data && !matches!(self.local, Some(Err(_))) {
            self.cloud = Err(Refusal::should_not("the application saves data"));
            self.hold = false;
        }
        if self.cloud.is_ok() && self.privacy == Privacy::PreferCloud {
            return self.ask_cloud(Refusal::may_not("the privacy is prefer-cloud"));
        }
        if self.cloud.is_ok() && saving.battery {
            return self.ask_cloud(Refusal::should_not("the application saves battery"));
        }
        self.run_local()
    }

    fn run_local(&mut self) -> Result<()> {
        // Signals cost a device the reading of its logits, so they are watched only where somebody looks at them.
        let watch = self.request.signals || self.shared.threshold(self.request.task.as_deref()).is_some();
        let Some(side) = self.local.take() else { return Err(Error::internal("the device was asked twice")) };
        let started = match side {
            Ok(tier) => LocalTier::start(&*tier, watch),
            Err(error) => return self.local_failed(no_model(error, self.privacy)),
        };
        self.runs += 1;
        match started {
            Err(error) => self.local_failed(error),
            Ok(local) => {
                let tokens = local.pending_tokens();
                let predicted_ms = self.shared.speed.get().predict_ms(tokens);
                if let (Some(budget_ms), Some(predicted_ms)) = (self.shared.config.budget.first_token_ms, predicted_ms)
                    && predicted_ms > budget_ms
                    && self.cloud.is_ok()
                {
                    let mut speed = self.shared.speed.get();
                    speed.believed();
                    self.shared.speed.set(speed);
                    self.paused = Some(local);
                    return self.ask_cloud(Refusal::should_not(format!(
                        "the first token would take {predicted_ms:.0} ms here, more than budget.firstTokenMs ({budget_ms})"
                    )));
                }
                self.stage = Stage::Local(local);
                Ok(())
            }
        }
    }

    fn local_failed(&mut self, error: Error) -> Result<()> {
        if self.cloud.is_err() || !is_inability(&error) {
            return Err(error);
        }
        let why = Refusal::cannot(error.to_string());
        self.local_error = Some(error);
        self.ask_cloud(why)
    }

    fn ask_cloud(&mut self, why: Refusal) -> Result<()> {
        let Some(cloud) = self.shared.cloud.clone() else { return Err(Error::internal("a permit without a cloud")) };
        let closed = Err(Refusal::cannot("the cloud was asked before"));
        let mut dispatch = std::mem::replace(&mut self.cloud, closed).map_err(|refusal| Error::internal(refusal.detail))?;
        dispatch.why = why.clone();
        let call = Box::new(CloudCall::new(cloud, dispatch, self.cancel.clone()));
        self.stage = Stage::Cloud { call, why, text: String::new() };
        Ok(())
    }

    fn local_event(&mut self, event: Result<Event>) -> Result<()> {
        match event {
            Err(error) => self.local_failed(error),
            Ok(Event::Prefill { done_tokens, total_tokens }) => {
                self.outbox.push_back(TierEvent::Prefill { done_tokens, total_tokens });
                let spent_ms = self.shared.clock.now_ms() - self.started_ms;
                match self.shared.config.budget.first_token_ms {
                    Some(budget_ms) if spent_ms > budget_ms && self.cloud.is_ok() && done_tokens < total_tokens => {
                        if let Stage::Local(local) = std::mem::replace(&mut self.stage, Stage::Begin) {
                            self.paused = Some(local);
                        }
                        self.ask_cloud(Refusal::should_not(format!(
                            "no token came from this device within budget.firstTokenMs ({budget_ms})"
                        )))
                    }
                    _ => Ok(()),
                }
            }
            Ok(Event::Delta { text, reasoning, .. }) => {
                let (text, reasoning) = if self.hold { Default::default() } else { (text, reasoning) };
                self.shown.say(&text, &reasoning);
                if !reasoning.is_empty() {
                    self.outbox.push_back(TierEvent::Reasoning { text: reasoning });
                }
                self.outbox.push_back(TierEvent::Delta { text });
                Ok(())
            }
            Ok(Event::Done(completion)) => self.local_done(*completion),
        }
    }

    fn local_done(&mut self, completion: Completion) -> Result<()> {
        let Stage::Local(local) = &self.stage else { return Err(Error::internal("an end without a run")) };
        let threshold = self.shared.threshold(self.request.task.as_deref()).cloned();
        let mut speed = self.shared.speed.get();
        let usage = completion.usage;
        speed.measured(usage.prompt_tokens - usage.cached_tokens.min(usage.prompt_tokens), completion.timing.prefill_ms);
        self.shared.speed.set(speed);
        let expects_json = self.request.expects_json
            || self.request.task.as_deref() == Some(EXTRACTION)
            || threshold.as_ref().is_some_and(|threshold| threshold.signal == Signal::Structure);
        let signals = (!local.signals().is_empty())
            .then(|| Confidence::of(local.signals(), &completion.text, &self.question_text(), expects_json));
        let confidence = threshold.as_ref().zip(signals.as_ref()).map(|(threshold, signals)| threshold.signal.of(signals));
        let end = LocalEnd { completion, signals, confidence, threshold: threshold.as_ref().map(|entry| entry.threshold) };
        let doubt = end.confidence.zip(end.threshold).filter(|(confidence, least)| confidence < least);
        if let Some((confidence, least)) = doubt
            && self.cloud.is_ok()
        {
            self.doubted = Some(end);
            return self
                .ask_cloud(Refusal::should_not(format!("the confidence {confidence:.4} is below the threshold {least:.4}")));
        }
        let refusal = match &self.cloud {
            Err(refusal) => refusal.clone(),
            Ok(_) => Refusal::may_not("the privacy is prefer-local, and the device could answer"),
        };
        self.finish_local(end, refusal);
        Ok(())
    }

    /// What the person and the application said, to compare the answer with.
    fn question_text(&self) -> String {
        let messages = self.request.messages.iter().flatten();
        let said = messages.filter(|message| message.role != Role::Assistant).filter_map(|message| message.content.as_deref());
        said.collect::<Vec<_>>().join("\n")
    }

    fn finish_local(&mut self, end: LocalEnd, refusal: Refusal) {
        let Completion { text, reasoning, .. } = &end.completion;
        if self.hold {
            self.shown.say(text, reasoning);
            if !reasoning.is_empty() {
                self.outbox.push_back(TierEvent::Reasoning { text: reasoning.clone() });
            }
            if !text.is_empty() {
                self.outbox.push_back(TierEvent::Delta { text: text.clone() });
            }
        }
        self.end_with(|finished| finished.local(end), refusal);
    }

    fn end_with(&mut self, completion: impl FnOnce(Finished<'_>) -> TierCompletion, refusal: Refusal) {
        let completion = completion(self.finished(refusal));
        self.keep_secret();
        let (session, mut taints) = (self.request.session, self.shared.taints.borrow_mut());
        if completion.provenance.tier == Tier::Cloud && completion.provenance.parts.is_empty() || !self.is_secret {
            taints.mark_open(session, &[Message::new(Role::Assistant, completion.text.as_str())]);
        } else if completion.provenance.tier == Tier::Cloud {
            taints.mark_answer(session, &completion.text);
        }
        drop(taints);
        self.outbox.push_back(TierEvent::Done(Box::new(completion)));
        self.stage = Stage::Over;
    }

    /// What was shown of what the device said about what must not leave must not leave either, whether or not it was finished, and also where it was
    /// withdrawn or the cloud's text was appended to it.
    fn keep_secret(&mut self) {
        if self.is_secret {
            let mut taints = self.shared.taints.borrow_mut();
            for text in self.shown.take_said() {
                taints.mark_answer(self.request.session, &text);
            }
        }
    }

    fn finished(&self, refusal: Refusal) -> Finished<'_> {
        Finished {
            shared: &self.shared,
            request: self.id,
            refusal,
            local_error: self.local_error.as_ref().map(Error::code),
            attempts: self.runs + self.cloud_attempts,
            bytes_sent: self.cloud_bytes,
            ms: self.shared.clock.now_ms() - self.started_ms,
            // A seed that the application did not ask for is not sent, so the server drew its own.
            seed: self.request.options.seed.filter(|_| !self.request.own_seed),
        }
    }

    fn cloud_step(&mut self, step: Result<CloudStep>) -> Result<()> {
        let has_more = self.doubted.is_some() || self.shown.is_there() || self.has_device_left();
        let Stage::Cloud { call, why, text: cloud_text } = &mut self.stage else {
            return Err(Error::internal("a step of no call"));
        };
        match step {
            Ok(CloudStep::Text(text)) => {
                if cloud_text.is_empty() && self.shown.is_there() {
                    let (reason, detail) = (why.reason, why.detail.clone());
                    let mid_stream = self.request.mid_stream.unwrap_or(self.shared.config.mid_stream);
                    self.outbox.push_back(match mid_stream {
                        MidStream::Append => TierEvent::Appended { reason, detail },
                        MidStream::Hold | MidStream::Replace => {
                            self.shown.withdraw();
                            TierEvent::Withdrawn { reason, detail }
                        }
                    });
                }
                cloud_text.push_str(&text);
                self.outbox.push_back(TierEvent::Delta { text });
                Ok(())
            }
            Ok(CloudStep::Done) => {
                let text = std::mem::take(cloud_text);
                self.cloud_attempts += call.attempts;
                self.cloud_bytes += call.bytes_sent;
                if text.is_empty() && has_more {
                    let nothing = Error::new(ErrorKind::CloudRefused, "the cloud's answer has no text");
                    return self.cloud_failed(nothing, false);
                }
                let end = CloudEnd {
                    text,
                    // Local text that stays is part of the answer.
                    local_text: self.shown.text().to_owned(),
                    first_text_ms: call.first_text_ms,
                    stream: call.take_stream(),
                    local: self.doubted.take(),
                    downgrades: std::mem::take(&mut self.downgrades),
                };
                let why = why.clone();
                self.end_with(|finished| finished.cloud(end), why);
                Ok(())
            }
            Err(error) => {
                self.cloud_attempts += call.attempts;
                self.cloud_bytes += call.bytes_sent;
                let has_text = !cloud_text.is_empty();
                self.cloud_failed(error, has_text)
            }
        }
    }

    /// Whether the device can still be asked, or go on.
    fn has_device_left(&self) -> bool {
        self.paused.is_some() || matches!(self.local, Some(Ok(_)))
    }

    /// The cloud could not: the device's answer counts if there is one, or if the device was not asked yet and nothing was shown.
    fn cloud_failed(&mut self, error: Error, has_text: bool) -> Result<()> {
        if error.kind() == ErrorKind::Aborted || has_text {
            return Err(error);
        }
        let refusal = Refusal { reason: Reason::CanNot, detail: error.to_string() };
        if let Some(end) = self.doubted.take() {
            self.downgrades.clear();
            self.finish_local(end, refusal);
            return Ok(());
        }
        if self.has_device_left() {
            self.cloud = Err(refusal);
            self.hold = false;
            self.downgrades.clear();
            let Some(local) = self.paused.take() else { return self.run_local() };
            self.stage = Stage::Local(local);
            return Ok(());
        }
        Err(match self.local_error.take() {
            // A device that was lost can be had again, without a network too: whoever can load the model again must hear of it.
            Some(local) if local.kind() == ErrorKind::DeviceLost => {
                local.context(format!("the cloud failed ({error}), and this device was lost"))
            }
            Some(local) => error.context(format!("this device can't answer ({local}), and the cloud failed")),
            None => error,
        })
    }
}

impl Drop for TierAnswer {
    fn drop(&mut self) {
        self.keep_secret();
    }
}

/// What a local-only request says stays in its session, whether or not it is ever answered.
fn taint_question(shared: &Shared, request: &TierRequest) {
    let mut taints = shared.taints.borrow_mut();
    match &request.messages {
        Some(messages) => taints.mark_new(request.session, messages),
        None => taints.mark_everything(request.session),
    }
}

/// Whether a request tells the device what must not leave. Text to continue can't be told apart from what the session holds.
fn holds_secrets(shared: &Shared, request: &TierRequest) -> bool {
    let taints = shared.taints.borrow();
    match &request.messages {
        Some(messages) => messages.iter().any(|message| taints.holds(request.session, message)),
        None => taints.is_tainted(request.session),
    }
}

/// Why there is no model on this device. A local-only request is told by its own code that nobody else was asked.
fn no_model(error: Error, privacy: Privacy) -> Error {
    if privacy == Privacy::LocalOnly {
        let detail = format!("the request is local-only, and this device has no model: {error}");
        return Error::new(ErrorKind::LocalOnly, detail).with_source(error);
    }
    error
}
