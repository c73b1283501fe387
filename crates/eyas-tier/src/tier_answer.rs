//! An answer in the making, by whichever tier.

use std::{collections::VecDeque, rc::Rc};

use eyas_core::{CancelToken, Completion, Error, ErrorKind, Event, Message, Result, Role};

use crate::{
    CloudAllowed, CloudPermit, Confidence, LocalAnswer, LocalSide, LocalTier, MidStream, Privacy, Reason, Refusal, TaintRule,
    TierEvent, TierRequest,
    chat_body::{Question, chat_body},
    cloud_call::{CloudCall, CloudStep, Dispatch},
    finished::{CloudEnd, Finished, LocalEnd},
    tiers::{Shared, is_inability},
};

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
    /// Local text so far, and whether the application has seen any of it.
    local_text: String,
    is_shown: bool,
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
        let mut answer = Self {
            id,
            privacy,
            cancel,
            started_ms: shared.clock.now_ms(),
            stage: Stage::Begin,
            local: Some(local),
            cloud: Err(Refusal::may_not("")),
            downgrades: Vec::new(),
            hold: false,
            local_text: String::new(),
            is_shown: false,
            local_error: None,
            paused: None,
            doubted: None,
            runs: 0,
            cloud_attempts: 0,
            cloud_bytes: 0,
            outbox: VecDeque::new(),
            shared,
            request,
        };
        if privacy == Privacy::LocalOnly {
            answer.taint_question();
        }
        answer.cloud = answer.way_to_the_cloud();
        let mid_stream = answer.request.mid_stream.unwrap_or(answer.shared.config.mid_stream);
        answer.hold = mid_stream == MidStream::Hold && answer.cloud.is_ok();
        answer
    }

    /// What a local-only request says stays in its session, whether or not it is ever answered.
    fn taint_question(&self) {
        let mut taints = self.shared.taints.borrow_mut();
        match &self.request.messages {
            Some(messages) => taints.mark_new(self.request.session, messages),
            None => taints.mark_everything(self.request.session),
        }
    }

    /// The leave to ask the cloud with what it would be asked, or why there is none. This decides alone over what may leave.
    fn way_to_the_cloud(&mut self) -> Result<Dispatch, Refusal> {
        let allowed = CloudAllowed::by(self.privacy)?;
        let (Some(cloud), Some(endpoint)) = (&self.shared.cloud, &self.shared.endpoint) else {
            return Err(Refusal::may_not("the application configured no cloud"));
        };
        let Some(messages) = &self.request.messages else {
            return Err(Refusal::cannot("text to continue has no place in the cloud's chat protocol"));
        };
        let session = self.request.session;
        let mut taints = self.shared.taints.borrow_mut();
        let may_leave: Vec<Message> = messages.iter().filter(|message| !taints.holds(session, message)).cloned().collect();
        if may_leave.len() < messages.len() {
            let is_question = messages.last().is_some_and(|last| taints.holds(session, last));
            if cloud.config.taint == TaintRule::Refuse || is_question {
                return Err(Refusal::may_not("the session holds what a local-only request put there"));
            }
        }
        taints.mark_open(session, &may_leave);
        let question = Question {
            messages: &may_leave,
            options: &self.request.options,
            has_tools: self.request.has_tools,
            has_template_variables: self.request.has_template_variables,
        };
        let body = chat_body(&cloud.config, question).map_err(|error| Refusal::cannot(error.to_string()))?;
        if may_leave.len() < messages.len() {
            self.downgrades.push("messages of local-only requests".into());
        }
        self.downgrades.extend(body.downgrades);
        let permit = CloudPermit::grant(allowed, endpoint);
        Ok(Dispatch { permit, body: body.bytes, request: self.id, why: Refusal::cannot("") })
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
                self.local_text.push_str(&text);
                if !self.hold && !reasoning.is_empty() {
                    self.is_shown = true;
                    self.outbox.push_back(TierEvent::Reasoning { text: reasoning });
                }
                let text = if self.hold { String::new() } else { text };
                self.is_shown |= !text.is_empty();
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
        let signals = (!local.signals().is_empty())
            .then(|| Confidence::of(local.signals(), &completion.text, &self.question_text(), self.request.expects_json));
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
        if self.hold && !end.completion.reasoning.is_empty() {
            self.outbox.push_back(TierEvent::Reasoning { text: end.completion.reasoning.clone() });
        }
        if self.hold && !end.completion.text.is_empty() {
            self.outbox.push_back(TierEvent::Delta { text: end.completion.text.clone() });
        }
        self.taint_answer(&end.completion.text);
        let finished = self.finished(refusal);
        self.outbox.push_back(TierEvent::Done(Box::new(finished.local(end))));
        self.stage = Stage::Over;
    }

    /// Local text about what must not leave must not leave either, also where the cloud's text was appended to it.
    fn taint_answer(&self, text: &str) {
        let session = self.request.session;
        let mut taints = self.shared.taints.borrow_mut();
        let messages = self.request.messages.as_deref().unwrap_or_default();
        if self.privacy == Privacy::LocalOnly || messages.iter().any(|message| taints.holds(session, message)) {
            taints.mark(session, [&Message::new(Role::Assistant, text)]);
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
            seed: self.request.options.seed,
        }
    }

    fn cloud_step(&mut self, step: Result<CloudStep>) -> Result<()> {
        let Stage::Cloud { call, why, text: cloud_text } = &mut self.stage else {
            return Err(Error::internal("a step of no call"));
        };
        match step {
            Ok(CloudStep::Text(text)) => {
                if cloud_text.is_empty() && self.is_shown {
                    let (reason, detail) = (why.reason, why.detail.clone());
                    let mid_stream = self.request.mid_stream.unwrap_or(self.shared.config.mid_stream);
                    self.outbox.push_back(match mid_stream {
                        MidStream::Append => TierEvent::Appended { reason, detail },
                        MidStream::Hold | MidStream::Replace => TierEvent::Withdrawn { reason, detail },
                    });
                    if mid_stream != MidStream::Append {
                        self.is_shown = false;
                    }
                }
                cloud_text.push_str(&text);
                self.outbox.push_back(TierEvent::Delta { text });
                Ok(())
            }
            Ok(CloudStep::Done) => {
                let end = CloudEnd {
                    text: std::mem::take(cloud_text),
                    // Local text that stays is part of the answer.
                    local_text: if self.is_shown { std::mem::take(&mut self.local_text) } else { String::new() },
                    first_text_ms: call.first_text_ms,
                    stream: std::mem::take(&mut call.stream),
                    local: self.doubted.take(),
                    downgrades: std::mem::take(&mut self.downgrades),
                };
                let why = why.clone();
                (self.cloud_attempts, self.cloud_bytes) = (call.attempts, call.bytes_sent);
                let has_local_text = !end.local_text.is_empty();
                let completion = self.finished(why).cloud(end);
                if has_local_text {
                    self.taint_answer(&completion.text);
                }
                self.outbox.push_back(TierEvent::Done(Box::new(completion)));
                self.stage = Stage::Over;
                Ok(())
            }
            Err(error) => {
                (self.cloud_attempts, self.cloud_bytes) = (call.attempts, call.bytes_sent);
                let has_text = !cloud_text.is_empty();
                self.cloud_failed(error, has_text)
            }
        }
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
        if self.paused.is_some() || matches!(self.local, Some(Ok(_))) {
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

/// Why there is no model on this device. A local-only request is told by its own code that nobody else was asked.
fn no_model(error: Error, privacy: Privacy) -> Error {
    if privacy == Privacy::LocalOnly {
        let detail = format!("the request is local-only, and this device has no model: {error}");
        return Error::new(ErrorKind::LocalOnly, detail).with_source(error);
    }
    error
}
