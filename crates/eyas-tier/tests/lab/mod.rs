//! A simulated world: a clock that jumps, a network that fails as it is told, and a device that answers as it is told.

#![allow(dead_code)] // each test uses its own part

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::Future,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker},
};

use eyas_core::{
    CancelToken, Completion, Error, ErrorKind, Event, FinishReason, Message, Provenance, Result, Tier, Timing, TokenSignal, Usage,
};
use eyas_tier::{
    Clock, CloudPermit, CloudRequest, CloudResponse, LocalAnswer, LocalFuture, LocalTier, Network, NetworkFailure, Ports,
    TierAnswer, TierCompletion, TierConfig, TierEvent, TierProvenance, Tiers, TokenSource,
};

/// A generator of numbers that a seed repeats (SplitMix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len() as u64) as usize].clone()
    }
}

/// Time that stands still until everybody waits.
#[derive(Default)]
pub struct SimClock {
    now_ms: Cell<f64>,
    timers: RefCell<Vec<f64>>,
    abort: RefCell<Option<(f64, CancelToken)>>,
}

impl SimClock {
    /// Cancels `token` when the time has come; sleepers then wake.
    pub fn abort_at(&self, ms: f64, token: CancelToken) {
        *self.abort.borrow_mut() = Some((ms, token));
    }

    pub fn no_abort(&self) {
        *self.abort.borrow_mut() = None;
    }

    fn is_aborted(&self) -> bool {
        self.abort.borrow().as_ref().is_some_and(|(_, token)| token.is_cancelled())
    }

    /// Jumps to the next moment at which anything happens.
    fn advance(&self) {
        let now = self.now_ms.get();
        let mut timers = self.timers.borrow_mut();
        timers.retain(|timer| *timer > now);
        let next = timers.iter().copied().fold(f64::INFINITY, f64::min);
        let mut abort = self.abort.borrow_mut();
        match &mut *abort {
            Some((at, token)) if *at <= next && !token.is_cancelled() => {
                self.now_ms.set(now.max(*at));
                token.cancel();
            }
            _ => {
                assert!(next.is_finite(), "everybody waits, and nothing will ever happen");
                self.now_ms.set(next);
            }
        }
    }

    /// Runs `work` to its end.
    pub fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            if let Poll::Ready(done) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return done;
            }
            self.advance();
        }
    }
}

struct Sleep {
    clock: Rc<SimClock>,
    until_ms: f64,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.clock.now_ms.get() >= self.until_ms || self.clock.is_aborted() {
            return Poll::Ready(());
        }
        let mut timers = self.clock.timers.borrow_mut();
        if !timers.contains(&self.until_ms) {
            timers.push(self.until_ms);
        }
        Poll::Pending
    }
}

/// The clock as a port.
#[derive(Clone)]
pub struct SharedClock(pub Rc<SimClock>);

impl Clock for SharedClock {
    fn now_ms(&self) -> f64 {
        self.0.now_ms.get()
    }

    fn unix_ms(&self) -> f64 {
        784_111_777_000.0 + self.0.now_ms.get()
    }

    fn sleep(&self, ms: f64) -> LocalFuture<'static, ()> {
        Box::pin(Sleep { clock: self.0.clone(), until_ms: self.0.now_ms.get() + ms })
    }
}

/// What the server does with one request.
#[derive(Clone, Debug)]
pub enum Act {
    /// The connection fails after so many milliseconds.
    Refuse(f64),
    /// Nothing ever comes.
    Hang,
    /// A status with headers.
    Status(u16, Vec<(&'static str, &'static str)>),
    /// A stream: pieces with a pause before each, and how it ends.
    Stream(Vec<(f64, Vec<u8>)>, End),
    /// A body at once, of this content type.
    Body(&'static str, String),
}

/// How a stream ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    Close,
    Reset,
    Stall,
}

/// A stream of `words` that ends as it should.
pub fn good(words: &[&str]) -> Act {
    let mut pieces: Vec<_> = words.iter().map(|word| (10.0, delta(word))).collect();
    pieces.push((10.0, finish()));
    Act::Stream(pieces, End::Close)
}

pub fn delta(text: &str) -> Vec<u8> {
    let event = serde_json::json!({ "choices": [{ "index": 0, "delta": { "content": text } }] });
    format!("data: {event}\n\n").into_bytes()
}

pub fn finish() -> Vec<u8> {
    b"data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\ndata: [DONE]\n\n".to_vec()
}

/// A network that does what its script says, and refuses when the script is over.
pub struct FakeNetwork {
    pub clock: SharedClock,
    pub script: RefCell<VecDeque<Act>>,
    pub calls: Cell<u64>,
    pub bytes: Cell<u64>,
    pub bodies: RefCell<Vec<String>>,
    pub tokens: RefCell<Vec<Option<String>>>,
    /// Connections that nobody has let go yet, and the most at one time.
    pub open: Rc<Cell<usize>>,
    pub most_open: Cell<usize>,
}

/// One connection, from the request to the moment at which everybody has let it go.
struct Connection(Rc<Cell<usize>>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Network for FakeNetwork {
    fn post<'a>(
        &'a self,
        permit: &'a CloudPermit,
        request: CloudRequest,
    ) -> LocalFuture<'a, Result<Box<dyn CloudResponse>, NetworkFailure>> {
        assert!(request.url.starts_with(permit.origin()));
        self.calls.set(self.calls.get() + 1);
        self.bytes.set(self.bytes.get() + request.body.len() as u64);
        self.bodies.borrow_mut().push(String::from_utf8(request.body).unwrap());
        self.tokens.borrow_mut().push(request.token);
        let act = self.script.borrow_mut().pop_front().unwrap_or(Act::Refuse(1.0));
        self.open.set(self.open.get() + 1);
        self.most_open.set(self.most_open.get().max(self.open.get()));
        let connection = Connection(self.open.clone());
        Box::pin(async move {
            let response = |status, headers, pieces, end| {
                let clock = self.clock.clone();
                FakeResponse { clock, status, headers, pieces, end, _connection: connection }
            };
            match act {
                Act::Refuse(ms) => {
                    self.clock.sleep(ms).await;
                    Err(NetworkFailure("connection refused".into()))
                }
                Act::Hang => loop {
                    self.clock.sleep(1e9).await;
                    if self.clock.0.is_aborted() {
                        return Err(NetworkFailure("aborted".into()));
                    }
                },
                Act::Status(status, headers) => {
                    self.clock.sleep(5.0).await;
                    let body = VecDeque::from([(0.0, br#"{"error":{"message":"not now"}}"#.to_vec())]);
                    Ok(Box::new(response(status, headers, body, End::Close)) as Box<dyn CloudResponse>)
                }
                Act::Stream(pieces, end) => {
                    self.clock.sleep(5.0).await;
                    Ok(Box::new(response(200, vec![("content-type", "text/event-stream")], pieces.into(), end))
                        as Box<dyn CloudResponse>)
                }
                Act::Body(kind, body) => {
                    self.clock.sleep(5.0).await;
                    let pieces = VecDeque::from([(0.0, body.into_bytes())]);
                    Ok(Box::new(response(200, vec![("content-type", kind)], pieces, End::Close)) as Box<dyn CloudResponse>)
                }
            }
        })
    }
}

struct FakeResponse {
    clock: SharedClock,
    status: u16,
    headers: Vec<(&'static str, &'static str)>,
    pieces: VecDeque<(f64, Vec<u8>)>,
    end: End,
    _connection: Connection,
}

impl CloudResponse for FakeResponse {
    fn status(&self) -> u16 {
        self.status
    }

    fn header(&self, name: &str) -> Option<String> {
        self.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    fn chunk(&mut self) -> LocalFuture<'_, Result<Option<Vec<u8>>, NetworkFailure>> {
        Box::pin(async move {
            match self.pieces.pop_front() {
                Some((pause, piece)) => {
                    self.clock.sleep(pause).await;
                    Ok(Some(piece))
                }
                None if self.end == End::Close => Ok(None),
                None if self.end == End::Reset => Err(NetworkFailure("connection reset".into())),
                None => loop {
                    self.clock.sleep(1e9).await;
                    if self.clock.0.is_aborted() {
                        return Err(NetworkFailure("aborted".into()));
                    }
                },
            }
        })
    }
}

/// Where the device fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// When the model was loaded.
    Load,
    /// When the answer begins.
    Start,
    /// While the prompt is computed.
    Prefill,
    /// After some text.
    Decode,
}

impl Phase {
    pub const ALL: [Self; 4] = [Self::Load, Self::Start, Self::Prefill, Self::Decode];
}

/// A device that answers `words`, each with `logprob`, or fails.
#[derive(Clone)]
pub struct FakeDevice {
    pub clock: SharedClock,
    pub words: Vec<String>,
    pub logprob: f32,
    pub step_ms: f64,
    pub fails: Option<(Phase, ErrorKind)>,
}

impl std::fmt::Debug for FakeDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {} {} ms {:?}", self.words, self.logprob, self.step_ms, self.fails)
    }
}

impl FakeDevice {
    /// The device's side of a request.
    pub fn side(&self) -> Result<Box<dyn LocalTier>> {
        match self.fails {
            Some((Phase::Load, kind)) => Err(Error::new(kind, "simulated")),
            _ => Ok(Box::new(self.clone())),
        }
    }
}

impl LocalTier for FakeDevice {
    fn start(&self, watch: bool) -> Result<Box<dyn LocalAnswer>> {
        if let Some((Phase::Start, kind)) = self.fails {
            return Err(Error::new(kind, "simulated"));
        }
        Ok(Box::new(FakeAnswer { device: self.clone(), watch, step: 0, signals: Vec::new() }))
    }
}

struct FakeAnswer {
    device: FakeDevice,
    watch: bool,
    step: usize,
    signals: Vec<TokenSignal>,
}

/// What the device thinks before it answers.
const THOUGHT: &str = "hm";
const PREFILLS: usize = 2;

impl LocalAnswer for FakeAnswer {
    fn next(&mut self) -> LocalFuture<'_, Result<Event>> {
        Box::pin(async move {
            self.device.clock.sleep(self.device.step_ms).await;
            self.step += 1;
            let words = self.device.words.len();
            match self.device.fails {
                Some((Phase::Prefill, kind)) if self.step == 2 => return Err(Error::new(kind, "simulated")),
                Some((Phase::Decode, kind)) if self.step == PREFILLS + 2 => return Err(Error::new(kind, "simulated")),
                _ => {}
            }
            if self.step <= PREFILLS {
                return Ok(Event::Prefill { done_tokens: 5 * self.step, total_tokens: 5 * PREFILLS });
            }
            let word = self.step - PREFILLS - 1;
            if word < words {
                if self.watch {
                    self.signals.push(TokenSignal { logprob: self.device.logprob, entropy: 0.1, margin: 0.5 });
                }
                return Ok(Event::Delta {
                    text: self.device.words[word].clone(),
                    // It thinks while it says the first word.
                    reasoning: if word == 0 { THOUGHT.to_owned() } else { String::new() },
                    token_id: word as u32,
                });
            }
            let step_ms = self.device.step_ms;
            Ok(Event::Done(Box::new(Completion {
                text: self.device.words.concat(),
                reasoning: if words > 0 { THOUGHT.to_owned() } else { String::new() },
                token_ids: (0..words as u32).collect(),
                finish_reason: FinishReason::Stop,
                usage: Usage { prompt_tokens: 5 * PREFILLS, cached_tokens: 0, completion_tokens: words, ..Usage::default() },
                timing: Timing { prefill_ms: step_ms * PREFILLS as f64, ..Timing::default() },
                provenance: Provenance {
                    tier: Tier::Local,
                    model: "small".into(),
                    device: "simulated".into(),
                    reason: String::new(),
                    attempts: 1,
                    bytes_sent: 0,
                },
                logprobs: Vec::new(),
                seed: 1,
            })))
        })
    }

    fn pending_tokens(&self) -> usize {
        5 * PREFILLS
    }

    fn signals(&self) -> &[TokenSignal] {
        &self.signals
    }
}

/// Tokens: the first one, then new ones at every refresh. Keeps what it was asked.
#[derive(Default)]
pub struct FakeTokens(pub RefCell<Vec<bool>>);

impl TokenSource for FakeTokens {
    fn token(&self, refresh: bool) -> LocalFuture<'_, Result<Option<String>>> {
        let mut asked = self.0.borrow_mut();
        asked.push(refresh);
        let refreshed = asked.iter().filter(|refresh| **refresh).count();
        Box::pin(std::future::ready(Ok(Some(format!("token-{refreshed}")))))
    }
}

/// Everything together.
pub struct World {
    pub clock: SharedClock,
    pub network: Rc<FakeNetwork>,
    pub tokens: Rc<FakeTokens>,
    pub tiers: Tiers,
}

pub const CLOUD: &str = r#""cloud":{"endpoint":"https://models.example/v1","model":"big"}"#;

impl World {
    /// A world with this configuration (JSON).
    pub fn new(config: &str) -> Self {
        let config: TierConfig = serde_json::from_str(config).unwrap();
        let clock = SharedClock(Rc::default());
        let network = Rc::new(FakeNetwork {
            clock: clock.clone(),
            script: RefCell::default(),
            calls: Cell::new(0),
            bytes: Cell::new(0),
            bodies: RefCell::default(),
            tokens: RefCell::default(),
            open: Rc::default(),
            most_open: Cell::new(0),
        });
        let tokens = Rc::new(FakeTokens::default());
        let ports = Ports { clock: Rc::new(clock.clone()), network: network.clone(), tokens: tokens.clone(), listener: None };
        let tiers = Tiers::new(config, ports).unwrap();
        tiers.set_model("model", "q8");
        Self { clock, network, tokens, tiers }
    }

    pub fn plays(&self, acts: impl IntoIterator<Item = Act>) {
        *self.network.script.borrow_mut() = acts.into_iter().collect();
    }

    pub fn device(&self, words: &[&str]) -> FakeDevice {
        FakeDevice {
            clock: self.clock.clone(),
            words: words.iter().map(ToString::to_string).collect(),
            logprob: -0.1,
            step_ms: 10.0,
            fails: None,
        }
    }

    /// Runs an answer to its end: what a reader of the stream has seen at the end, how often text was withdrawn or appended to, and the
    /// result. Checks that it ends exactly once, and that no connection outlives its attempt.
    pub fn run(&self, mut answer: TierAnswer) -> (String, usize, Result<TierCompletion>) {
        let run = self.clock.0.run(async {
            let (mut shown, mut thoughts, mut switches) = (String::new(), String::new(), 0);
            let end = loop {
                match answer.next().await {
                    Ok(TierEvent::Prefill { .. }) => {}
                    Ok(TierEvent::Delta { text }) => shown += &text,
                    Ok(TierEvent::Reasoning { text }) => thoughts += &text,
                    Ok(TierEvent::Withdrawn { .. }) => {
                        shown.clear();
                        thoughts.clear();
                        switches += 1;
                    }
                    Ok(TierEvent::Appended { .. }) => switches += 1,
                    Ok(TierEvent::Done(completion)) => break Ok(*completion),
                    Err(error) => break Err(error),
                }
            };
            if let Ok(TierCompletion { reasoning, provenance: TierProvenance { tier: Tier::Local, .. }, .. }) = &end {
                assert_eq!(*reasoning, thoughts, "what was thought was shown");
            }
            assert_eq!(answer.next().await.unwrap_err().code(), "bad-input", "an answer ends once");
            (shown, switches, end)
        });
        assert_eq!(self.network.open.get(), 0, "the answer has ended, and a connection is still open");
        assert!(self.network.most_open.get() <= 1, "an attempt began before the one before it was given up");
        run
    }
}

pub fn user(text: &str) -> Vec<Message> {
    vec![Message::user(text)]
}
