//! A model on a device, ready to answer.

use std::{cell::Cell, rc::Rc};

use eyas_core::{
    CancelToken, Error, ErrorKind, LoadOptions, LoadPhase, Message, Progress, ProgressSink, Provenance, Result, Tier,
};
use eyas_kernels::KernelDevice;
use eyas_model::{Decoder, DecoderConfig, LoadPlan, LogitsOf};
use eyas_text::{EncodeOptions, Tokenizer};
use serde_json::{Map, Value};

use crate::{
    Clock, EngineInfo, ModelKind, OpenedModel, Prompt, Request, Session,
    chat_prompt::shielded,
    live_cache::{CachePool, LiveCache},
    model_bundle::ModelBundle,
    random::fresh_seed,
    reasoning::ReasoningSplit,
    sampler::plain_choices,
};

/// The context of a model that would allow more, where the caller names none: a cache's memory grows with it.
const DEFAULT_CONTEXT_TOKENS: usize = 4096;

/// A loaded model. Clones share it; its memory is freed with the last clone, session and generation.
#[derive(Clone)]
pub struct Engine(Rc<Loaded>);

/// What an answer begins with.
pub(crate) struct EncodedPrompt {
    pub(crate) ids: Vec<u32>,
    pub(crate) split: ReasoningSplit,
}

struct Loaded {
    bundle: ModelBundle,
    decoder: Decoder,
    fingerprint: String,
    context_tokens: usize,
    prefill_chunk_tokens: usize,
    pool: CachePool,
    clock: Rc<dyn Clock>,
    seeds_given: Cell<u64>,
    unknown_ids: Rc<[u32]>,
    #[cfg(feature = "gpu")]
    guess_cost: crate::device_guesses::GuessCost,
}

impl Engine {
    /// Loads a model: reads configuration, tokenizer and tensor headers, then the weights, tensor by tensor, then computes a few tokens, so that every
    /// pipeline exists, and so that a GPU shows that it computes this model right (`bad-device`). `progress` hears of each phase; `cancel` is looked at before and after every await, and a load
    /// that fails or is cancelled leaves nothing behind.
    pub async fn load(
        model: impl Into<OpenedModel>,
        device: KernelDevice,
        options: LoadOptions,
        clock: Rc<dyn Clock>,
        progress: &dyn ProgressSink,
        cancel: &CancelToken,
    ) -> Result<Self> {
        let mut model = model.into();
        options.validate()?;
        cancel.check()?;
        let phase = |phase, loaded_bytes, total_bytes, detail: &str| {
            progress.report(Progress { phase, loaded_bytes, total_bytes, detail: detail.to_owned() });
        };
        phase(LoadPhase::Inspect, 0, 0, "tensor headers");
        let checkpoint = model.checkpoint().await?;
        cancel.check()?;
        let total_bytes = checkpoint.total_bytes();
        phase(LoadPhase::Inspect, 0, total_bytes, "configuration and tokenizer");
        let (bundle, config) = ModelBundle::open(&model.files, &checkpoint).await?;
        cancel.check()?;
        let context_tokens = context_tokens(options.context_tokens, config.max_position_embeddings)?;
        phase(LoadPhase::Weights, 0, total_bytes, "");
        let plan = LoadPlan { quantize: options.quantize, progress, cancel };
        let unknown_ids = bundle.tokenizer.unknown_ids(config.vocab_size);
        let choices = plain_choices(&unknown_ids, config.vocab_size);
        let decoder = Decoder::load(&checkpoint, config, &device, &plan).await?.choosing_below(choices);
        cancel.check()?;

        phase(LoadPhase::WarmUp, total_bytes, total_bytes, "first token");
        let pool = CachePool::new(&decoder);
        let engine = Self(Rc::new(Loaded {
            unknown_ids: unknown_ids.into(),
            bundle,
            decoder,
            fingerprint: checkpoint.fingerprint().hex(),
            context_tokens,
            prefill_chunk_tokens: options.prefill_chunk_tokens,
            pool,
            clock,
            seeds_given: Cell::new(0),
            #[cfg(feature = "gpu")]
            guess_cost: Rc::default(),
        }));
        engine.warm_up(cancel).await?;
        phase(LoadPhase::Ready, total_bytes, total_bytes, "");
        Ok(engine)
    }

    /// What was loaded, where, and how much memory weights and sessions take now; not the cache that a CPU keeps for the next session.
    pub fn info(&self) -> EngineInfo {
        let config = self.config();
        EngineInfo {
            kind: ModelKind::Decoder,
            model: self.0.bundle.name.clone(),
            architecture: config.architecture.clone(),
            device: self.0.decoder.device().report().clone(),
            memory_bytes: self.0.decoder.weight_bytes() + self.0.pool.bytes(),
            context_tokens: self.0.context_tokens,
            vocab_size: config.vocab_size,
            quantize: self.0.decoder.matrix_kind(),
            fingerprint: self.0.fingerprint.clone(),
            has_chat_template: self.0.bundle.template.is_some(),
            embedding_dimensions: None,
            prompts: Vec::new(),
            labels: None,
        }
    }

    /// A new session; it counts as memory from its first answer on.
    pub fn session(&self) -> Session {
        Session::new(self.clone())
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.0.bundle.tokenizer
    }

    /// Renders messages by the model's chat template; `bad-input` where it has none.
    pub fn render(
        &self,
        messages: &[Message],
        tools: Option<&Value>,
        variables: &Map<String, Value>,
        add_generation_prompt: bool,
    ) -> Result<String> {
        let template = self.0.bundle.template.as_ref().ok_or_else(|| {
            Error::bad_input("this model has no chat template; send a prompt (text to continue) instead of messages")
        })?;
        template.render(messages, tools, variables, add_generation_prompt, self.0.clock.local_seconds())
    }

    /// The tokens that a request begins with: rendered messages with the template's own special tokens (those that somebody wrote into a message
    /// stay text, except in what the model itself said before), text with the tokenizer's
    /// special tokens around it, or ids as they are. `bad-input` where there are none, or one is beyond the vocabulary.
    pub fn encode_prompt(&self, request: &Request) -> Result<Vec<u32>> {
        Ok(self.begin(request)?.ids)
    }

    /// The same, with what the prompt says about the reasoning that an answer begins with.
    pub(crate) fn begin(&self, request: &Request) -> Result<EncodedPrompt> {
        let mut split = ReasoningSplit::off();
        let ids = match &request.prompt {
            Prompt::Messages(messages) => {
                let messages = shielded(self.tokenizer(), messages);
                let text = self.render(&messages, request.tools.as_ref(), &request.template_variables, true)?;
                split = ReasoningSplit::new(ReasoningSplit::is_open_in(&text));
                self.tokenizer().encode(&text, EncodeOptions { add_special: false, parse_special: true })?
            }
            Prompt::Text(text) => self.tokenizer().encode(text, EncodeOptions { add_special: true, parse_special: true })?,
            Prompt::Ids(ids) => ids.clone(),
        };
        if ids.is_empty() {
            return Err(Error::bad_input(
                "the prompt is empty, and this model has no token that begins a text; expected at least one character",
            ));
        }
        self.check_ids(&ids)?;
        Ok(EncodedPrompt { ids, split })
    }

    /// Logits at every position of `ids`, `[ids, vocab]`, computed from an empty cache in chunks.
    pub async fn logits(&self, ids: &[u32]) -> Result<Vec<f32>> {
        if ids.is_empty() {
            return Err(Error::bad_input("no tokens were given; expected at least one id"));
        }
        self.check_ids(ids)?;
        if ids.len() > self.0.context_tokens {
            let detail = format!("{} tokens were given, but the context holds {}; give fewer", ids.len(), self.0.context_tokens);
            return Err(Error::new(ErrorKind::ContextOverflow, detail));
        }
        let mut cache = self.new_cache().await?;
        cache.prepare(self.decoder(), ids.len());
        let mut logits = Vec::with_capacity(ids.len() * self.config().vocab_size);
        for chunk in ids.chunks(self.0.prefill_chunk_tokens) {
            logits.extend(cache.extend(self.decoder(), chunk, LogitsOf::All).await?);
        }
        Ok(logits)
    }

    /// The model's configuration.
    pub fn config(&self) -> &DecoderConfig {
        self.0.decoder.config()
    }

    /// The ids that end an answer, in ascending order.
    pub fn end_tokens(&self) -> &[u32] {
        &self.0.bundle.end_ids
    }

    /// Ids that have logits but that the tokenizer doesn't know, ascending: models pad their vocabularies. They are never sampled.
    pub fn unknown_ids(&self) -> &Rc<[u32]> {
        &self.0.unknown_ids
    }

    pub(crate) fn is_end_token(&self, id: u32) -> bool {
        self.0.bundle.end_ids.binary_search(&id).is_ok()
    }

    /// Computes a chunk of a prompt and a token behind it, so that the first answer waits for no pipeline; on a GPU, the canary.
    async fn warm_up(&self, cancel: &CancelToken) -> Result<()> {
        let mut cache = self.new_cache().await?;
        if self.decoder().device().is_gpu() {
            return Box::pin(cache.try_device(self.decoder(), cancel)).await;
        }
        if self.0.context_tokens > 2 && self.0.prefill_chunk_tokens > 1 {
            cache.extend(self.decoder(), &[0, 0], LogitsOf::Last).await?;
            cancel.check()?;
        }
        cache.extend(self.decoder(), &[0], LogitsOf::Last).await?;
        cancel.check()
    }

    fn check_ids(&self, ids: &[u32]) -> Result<()> {
        let vocab_size = self.config().vocab_size;
        match ids.iter().find(|id| **id as usize >= vocab_size) {
            None => Ok(()),
            Some(id) => {
                Err(Error::bad_input(format!("token {id} is beyond the vocabulary, whose ids are 0 to {}", vocab_size - 1)))
            }
        }
    }

    pub(crate) fn decoder(&self) -> &Decoder {
        &self.0.decoder
    }

    /// Allocates a cache for the whole context. A GPU tells only later that it had no room, so the device is watched until it has.
    pub(crate) async fn new_cache(&self) -> Result<LiveCache> {
        let upload = self.0.decoder.device().begin_upload();
        let cache = LiveCache::new(&self.0.decoder, self.0.context_tokens, self.0.prefill_chunk_tokens, &self.0.pool);
        if let Err(error) = upload.finish().await {
            drop(cache);
            self.0.decoder.device().release_unused(); // a buffer that was refused must not serve another time
            return Err(error.context("KV cache"));
        }
        cache
    }

    pub(crate) fn context_tokens(&self) -> usize {
        self.0.context_tokens
    }

    pub(crate) fn prefill_chunk_tokens(&self) -> usize {
        self.0.prefill_chunk_tokens
    }

    #[cfg(feature = "gpu")]
    pub(crate) fn guess_cost(&self) -> &crate::device_guesses::GuessCost {
        &self.0.guess_cost
    }

    pub(crate) fn now_ms(&self) -> f64 {
        self.0.clock.now_ms()
    }

    pub(crate) fn fresh_seed(&self) -> u64 {
        let count = self.0.seeds_given.get();
        self.0.seeds_given.set(count + 1);
        fresh_seed(self.now_ms(), count)
    }

    pub(crate) fn provenance(&self) -> Provenance {
        let device = self.0.decoder.device().report();
        Provenance {
            tier: Tier::Local,
            model: self.0.bundle.name.clone(),
            device: device.name.clone(),
            reason: device.reason.clone(),
            attempts: 1,
            bytes_sent: 0,
        }
    }
}

/// The context that a load gives: what was asked for, or the model's maximum up to a default.
pub(crate) fn context_tokens(asked: Option<usize>, maximum: usize) -> Result<usize> {
    match asked {
        Some(asked) if asked > maximum => Err(Error::bad_input(format!(
            "contextTokens is {asked}, but the model was made for at most {maximum}; ask for at most that"
        ))),
        Some(asked) => Ok(asked),
        None => Ok(maximum.min(DEFAULT_CONTEXT_TOKENS)),
    }
}

#[cfg(test)]
mod tests {
    use super::context_tokens;

    #[test]
    fn the_context_is_what_was_asked_for_within_the_models_maximum() {
        assert_eq!(context_tokens(None, 512).unwrap(), 512);
        assert_eq!(context_tokens(None, 131_072).unwrap(), 4096);
        assert_eq!(context_tokens(Some(8192), 131_072).unwrap(), 8192);
        assert_eq!(context_tokens(Some(513), 512).unwrap_err().code(), "bad-input");
    }
}
