//! One question to the cloud with all its attempts.

use std::{collections::VecDeque, rc::Rc};

use eyas_core::{CancelToken, Error, ErrorKind, Result, within};

use crate::{
    Clock, CloudConfig, CloudPermit, Refusal, TokenSource,
    answer_body::AnswerBody,
    chat_stream::{ChatStream, error_body_text},
    egress_ledger::{BrokenOff, EgressEntry, EgressOutcome},
    network::{CloudRequest, CloudResponse, Gate, NetworkFailure},
    retry::{backoff_ms, is_worth, retry_after_ms},
    token,
};

/// Bytes of an answer in all, and of an error's body: a server that sends more is broken or hostile.
const MAX_ANSWER_BYTES: usize = 64 << 20;
const MAX_ERROR_BYTES: usize = 64 << 10;

/// Bytes of a request's body that count as a token of its prompt where the server has not counted them.
const BYTES_PER_TOKEN: usize = 4;

/// The longest wait for the usage and `[DONE]` behind a finish reason. Not every server sends them, nor closes the connection.
const AFTER_FINISH_MS: f64 = 1000.0;

/// The cloud as one engine has it.
pub(crate) struct Cloud {
    pub(crate) config: CloudConfig,
    pub(crate) url: String,
    pub(crate) gate: Gate,
    pub(crate) tokens: Rc<dyn TokenSource>,
    pub(crate) clock: Rc<dyn Clock>,
}

/// What is to be sent, with the leave to do so.
pub(crate) struct Dispatch {
    pub(crate) permit: CloudPermit,
    pub(crate) body: Vec<u8>,
    pub(crate) request: u64,
    /// Attempts that were made for the same request before.
    pub(crate) earlier_attempts: u32,
    /// Whether one of them was refused for its token, so that no other one is asked for.
    pub(crate) had_refresh: bool,
    pub(crate) why: Refusal,
}

/// What a step of a call gives.
pub(crate) enum CloudStep {
    /// Text; it may be empty.
    Text(String),
    /// The answer is complete; [`CloudCall::stream`] has what is known of it.
    Done,
}

/// A question that is being answered. Dropping it closes the connection.
pub(crate) struct CloudCall {
    cloud: Rc<Cloud>,
    dispatch: Dispatch,
    cancel: CancelToken,
    started_ms: f64,
    retries: u32,
    /// The token of all attempts, once the application was asked; it may have none.
    token: Option<Token>,
    /// A token of this call was refused: the next one is the last.
    refreshed: bool,
    /// When the finish reason came.
    finished_ms: Option<f64>,
    answer: Option<Answer>,
    /// The ledger's entry of the attempt whose answer is being read.
    entry: Option<u64>,
    texts: VecDeque<String>,
    has_text: bool,
    /// Requests that were handed to the network.
    pub(crate) attempts: u32,
    /// Bytes of their bodies.
    pub(crate) bytes_sent: u64,
    /// When the first text came, after the start.
    pub(crate) first_text_ms: Option<f64>,
    /// What the events have told.
    stream: ChatStream,
}

struct Token(Option<String>);

struct Answer {
    response: Box<dyn CloudResponse>,
    body: AnswerBody,
    bytes: usize,
}

/// A failed attempt: the error, and when another one is worth it after which pause.
struct Failure {
    error: Error,
    retry: Option<Pause>,
}

enum Pause {
    Backoff,
    Asked(f64),
    NewToken,
}

impl CloudCall {
    pub(crate) fn new(cloud: Rc<Cloud>, dispatch: Dispatch, cancel: CancelToken) -> Self {
        let started_ms = cloud.clock.now_ms();
        Self {
            cloud,
            dispatch,
            cancel,
            started_ms,
            retries: 0,
            token: None,
            refreshed: false,
            finished_ms: None,
            answer: None,
            entry: None,
            texts: VecDeque::new(),
            has_text: false,
            attempts: 0,
            bytes_sent: 0,
            first_text_ms: None,
            stream: ChatStream::default(),
        }
    }

    /// The next text, or the end. After text was given nothing is tried again: it could not be told apart from a second answer.
    pub(crate) async fn step(&mut self) -> Result<CloudStep> {
        loop {
            if let Some(text) = self.texts.pop_front() {
                return Ok(CloudStep::Text(text));
            }
            let step = match &mut self.answer {
                None => self.attempt().await.map(|()| None),
                Some(_) => self.read().await,
            };
            self.cancel.check()?;
            match step {
                Ok(None) => {}
                Ok(Some(done)) => return Ok(done),
                Err(failure) => self.pause(failure).await?,
            }
        }
    }

    /// What is known of the complete answer, which is used: from here on it is not one that broke off.
    pub(crate) fn take_stream(&mut self) -> ChatStream {
        self.entry = None;
        std::mem::take(&mut self.stream)
    }

    /// Lets go what came of an attempt, and has the ledger say what it was.
    fn break_off(&mut self) {
        let stream = std::mem::take(&mut self.stream);
        let Some(id) = self.entry.take().filter(|_| stream.has_output()) else { return };
        let prompt_tokens = stream.prompt_tokens.unwrap_or(self.dispatch.body.len().div_ceil(BYTES_PER_TOKEN));
        // A count that is told while the answer goes on may lie behind what came.
        let counted = stream.completion_tokens.filter(|tokens| *tokens >= stream.pieces);
        let completion_tokens = counted.unwrap_or(stream.pieces);
        let cost = self.cloud.config.prices.map(|prices| prices.of(prompt_tokens, completion_tokens));
        let is_counted = counted.is_some();
        self.cloud.gate.ledger.break_off(id, BrokenOff { prompt_tokens, completion_tokens, is_counted, cost });
    }

    fn left_ms(&self) -> f64 {
        self.cloud.config.retry.total_timeout_ms - (self.cloud.clock.now_ms() - self.started_ms)
    }

    /// The longest that the next byte may take, or that nothing is left of the time.
    fn patience_ms(&self) -> Result<f64, Failure> {
        let total_ms = self.cloud.config.retry.total_timeout_ms;
        let left_ms = self.left_ms();
        if left_ms <= 0.0 {
            let error = timeout(format!("the cloud did not finish within {total_ms} ms (cloud.retry.totalTimeoutMs)"));
            return Err(Failure { error, retry: None });
        }
        Ok(self.cloud.config.retry.idle_timeout_ms.min(left_ms))
    }

    /// Waits before another attempt, or ends with the failure's error.
    async fn pause(&mut self, failure: Failure) -> Result<()> {
        let Failure { error, retry } = failure;
        self.answer = None;
        self.finished_ms = None;
        self.break_off();
        let Some(pause) = retry.filter(|_| !self.has_text) else { return Err(error) };
        if matches!(pause, Pause::NewToken) {
            self.refreshed = true;
            self.token = None;
            return Ok(());
        }
        let policy = &self.cloud.config.retry;
        if self.retries >= policy.retries() {
            return Err(error.context(format!("after {} attempts", self.attempts)));
        }
        let ms = match pause {
            Pause::Asked(ms) if ms > policy.max_retry_after_ms => {
                return Err(error.context(format!("the server asks to wait {ms} ms, more than cloud.retry.maxRetryAfterMs")));
            }
            Pause::Asked(ms) => ms,
            Pause::Backoff | Pause::NewToken => backoff_ms(self.retries, self.started_ms.to_bits() ^ self.dispatch.request),
        };
        if ms >= self.left_ms() {
            return Err(error.context("no time is left for another attempt"));
        }
        self.retries += 1;
        self.cloud.clock.sleep(ms).await;
        self.cancel.check()
    }

    /// The application's token: asked for once, and once more where it was refused.
    async fn token(&mut self, patience_ms: f64) -> Result<Option<String>> {
        if let Some(Token(token)) = &self.token {
            return Ok(token.clone());
        }
        let cloud = self.cloud.clone();
        let token = within(&*cloud.clock, patience_ms, cloud.tokens.token(self.refreshed)).await;
        self.cancel.check()?;
        let token = token.ok_or_else(|| timeout(format!("getToken gave no token within {patience_ms} ms")))??;
        if let Some(token) = &token {
            token::check(token, cloud.config.dangerously_send_long_lived_secrets_from_the_browser)?;
        }
        self.token = Some(Token(token.clone()));
        Ok(token)
    }

    /// Sends the request once and looks at the head of what comes back.
    async fn attempt(&mut self) -> Result<(), Failure> {
        let cloud = self.cloud.clone();
        let patience_ms = self.patience_ms()?;
        let token = self.token(patience_ms).await?;
        self.attempts += 1;
        self.bytes_sent += self.dispatch.body.len() as u64;
        let request = CloudRequest { url: cloud.url.clone(), token, body: self.dispatch.body.clone() };
        let patience_ms = self.patience_ms()?;
        let answer = within(&*cloud.clock, patience_ms, cloud.gate.post(&self.dispatch.permit, request, self.entry())).await;
        self.cancel.check()?;
        let (entry, response) = match answer {
            None => {
                let error = timeout(format!("the cloud did not answer within {patience_ms} ms (cloud.retry.idleTimeoutMs)"));
                return Err(Failure { error, retry: Some(Pause::Backoff) });
            }
            Some(Err(NetworkFailure(words))) => {
                let error = Error::new(ErrorKind::CloudHttp, format!("the cloud could not be reached: {words}"));
                return Err(Failure { error, retry: Some(Pause::Backoff) });
            }
            Some(Ok(answer)) => answer,
        };
        if !(200..300).contains(&response.status()) {
            return Err(self.status_failure(response).await);
        }
        let kind = response.header("content-type").unwrap_or_default().to_ascii_lowercase();
        if !kind.is_empty() && !["event-stream", "json", "text/plain"].iter().any(|known| kind.contains(known)) {
            let kind: String = kind.chars().take(60).collect();
            let detail = format!("the cloud answered with {kind:?} instead of an event stream; is this the address of a model?");
            return Err(Error::new(ErrorKind::CloudRefused, detail).into());
        }
        self.entry = Some(entry);
        self.answer = Some(Answer { response, body: AnswerBody::default(), bytes: 0 });
        Ok(())
    }

    fn entry(&self) -> EgressEntry {
        EgressEntry {
            id: 0,
            unix_ms: self.cloud.clock.unix_ms(),
            origin: String::new(),
            request: self.dispatch.request,
            attempt: self.dispatch.earlier_attempts + self.attempts,
            bytes: 0,
            reason: self.dispatch.why.reason,
            detail: self.dispatch.why.detail.clone(),
            outcome: EgressOutcome::Sent,
            status: None,
            broken_off: None,
        }
    }

    /// What an error status means.
    async fn status_failure(&self, mut response: Box<dyn CloudResponse>) -> Failure {
        let status = response.status();
        let header = |name: &str| response.header(name);
        let retry = if status == 401 && !self.refreshed && !self.dispatch.had_refresh {
            Some(Pause::NewToken)
        } else if is_worth(status, header("x-should-retry").as_deref()) {
            Some(retry_after_ms(header, self.cloud.clock.unix_ms()).map_or(Pause::Backoff, Pause::Asked))
        } else {
            None
        };
        let mut body = Vec::new();
        // An error's body is worth no waiting: what does not come at once is left.
        while body.len() < MAX_ERROR_BYTES {
            match within(&*self.cloud.clock, 1000.0_f64.min(self.left_ms().max(0.0)), response.chunk()).await {
                Some(Ok(Some(bytes))) if !self.cancel.is_cancelled() => body.extend_from_slice(&bytes),
                _ => break,
            }
        }
        let words = error_body_text(&body).map(|text| format!(": {text}")).unwrap_or_default();
        let kind = if matches!(status, 401 | 403) { ErrorKind::CloudRefused } else { ErrorKind::CloudHttp };
        Failure { error: Error::new(kind, format!("the cloud answered with status {status}{words}")), retry }
    }

    /// The longest that the next bytes may take; none where the answer has ended and what may follow was waited for.
    fn read_patience_ms(&self) -> Result<Option<f64>, Failure> {
        let Some(finished_ms) = self.finished_ms else { return self.patience_ms().map(Some) };
        let left_ms = finished_ms + AFTER_FINISH_MS - self.cloud.clock.now_ms();
        Ok(Some(left_ms.min(self.left_ms())).filter(|left_ms| *left_ms > 0.0))
    }

    /// Reads the next bytes of the answer.
    async fn read(&mut self) -> Result<Option<CloudStep>, Failure> {
        let cloud = self.cloud.clone();
        let Some(patience_ms) = self.read_patience_ms()? else { return self.end(None) };
        let Some(answer) = &mut self.answer else { return Ok(None) };
        let chunk = within(&*cloud.clock, patience_ms, answer.response.chunk()).await;
        self.cancel.check()?;
        let chunk = match chunk {
            None if self.finished_ms.is_some() => return self.end(None),
            None => {
                let error =
                    timeout(format!("the cloud's answer paused for more than {patience_ms} ms (cloud.retry.idleTimeoutMs)"));
                return Err(Failure { error, retry: Some(Pause::Backoff) });
            }
            Some(Err(NetworkFailure(words))) => return self.end(Some(words)),
            Some(Ok(None)) => return self.end(None),
            Some(Ok(Some(chunk))) => chunk,
        };
        answer.bytes += chunk.len();
        if answer.bytes > MAX_ANSWER_BYTES {
            let detail = format!("the cloud sent more than {MAX_ANSWER_BYTES} bytes for one answer");
            return Err(Error::new(ErrorKind::CloudRefused, detail).into());
        }
        let mut events = Vec::new();
        let parsed = answer.body.push(&chunk, &mut events);
        for data in events {
            if !self.stream.is_done {
                let text = self.stream.event(&data)?;
                self.text(text);
            }
        }
        parsed?;
        if self.stream.finish.is_some() {
            self.finished_ms.get_or_insert(cloud.clock.now_ms());
        }
        // A server that keeps the connection open behind [DONE] is not waited for.
        if self.stream.is_done { self.end(None) } else { Ok(None) }
    }

    fn text(&mut self, text: String) {
        if !text.is_empty() {
            self.has_text = true;
            let now_ms = self.cloud.clock.now_ms() - self.started_ms;
            self.first_text_ms.get_or_insert(now_ms);
            self.texts.push_back(text);
        }
    }

    /// The connection has ended. Without a finish reason that is an error, not a short answer.
    fn end(&mut self, failure: Option<String>) -> Result<Option<CloudStep>, Failure> {
        if let Some(whole) = self.answer.as_mut().and_then(|answer| answer.body.take_whole()).filter(|_| failure.is_none()) {
            let text = self.stream.whole(&whole)?;
            self.text(text);
        }
        self.stream.check_refusal()?;
        if self.stream.finish.is_none() {
            let words = failure.map(|words| format!(" ({words})")).unwrap_or_default();
            let error = Error::new(ErrorKind::CloudTruncated, format!("the cloud's answer ended without a finish reason{words}"));
            return Err(Failure { error, retry: Some(Pause::Backoff) });
        }
        // The next step after the texts that wait finds nothing to read and a finish reason.
        if self.texts.is_empty() {
            return Ok(Some(CloudStep::Done));
        }
        if let Some(answer) = &mut self.answer {
            answer.response = Box::new(Ended);
        }
        Ok(None)
    }
}

impl Drop for CloudCall {
    /// An answer that nobody waits for any more was broken off too.
    fn drop(&mut self) {
        self.break_off();
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, retry: None }
    }
}

/// What is left of a response whose end was read.
struct Ended;

impl CloudResponse for Ended {
    fn status(&self) -> u16 {
        200
    }

    fn header(&self, _: &str) -> Option<String> {
        None
    }

    fn chunk(&mut self) -> crate::LocalFuture<'_, Result<Option<Vec<u8>>, NetworkFailure>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

fn timeout(detail: String) -> Error {
    Error::new(ErrorKind::CloudTimeout, detail)
}
