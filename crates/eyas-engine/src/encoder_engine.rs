//! An encoder on a device, ready to embed and to classify.

use std::rc::Rc;

use eyas_core::{CancelToken, Error, LoadOptions, LoadPhase, Progress, ProgressSink, Result};
use eyas_kernels::KernelDevice;
use eyas_model::{Encoder, EncoderConfig, LoadPlan};
use eyas_text::{EncodeOptions, EncodedPair, Tokenizer};

use crate::{
    Embedding, EngineInfo, LabelScore, ModelKind, OpenedModel, class_scores::class_scores, embedding_recipe::EmbeddingRecipe,
    engine::context_tokens, model_bundle::name, model_text::open_tokenizer_of, opened_model::open_encoder_config,
};

/// A loaded encoder. Clones share it; its memory is freed with the last clone.
///
/// Texts are computed one by one, so that a result never depends on what else is asked. What a person wrote is plain text: `[SEP]` in it is no special
/// token.
#[derive(Clone)]
pub struct EncoderEngine(Rc<Loaded>);

struct Loaded {
    name: String,
    tokenizer: Tokenizer,
    recipe: EmbeddingRecipe,
    encoder: Encoder,
    fingerprint: String,
}

impl EncoderEngine {
    /// Loads an encoder: reads configuration, tokenizer and tensor headers, then the weights, tensor by tensor, then computes a short text, so that every
    /// pipeline exists, and so that a GPU shows that it computes this model right (`bad-device`). `options.context_tokens` bounds the tokens of a text; absent, the model's own bound holds, and longer texts are cut either way.
    ///
    /// Fails with `unsupported-model` where the model is a decoder or has a feature that Eyas does not support.
    pub async fn load(
        model: impl Into<OpenedModel>,
        device: KernelDevice,
        options: LoadOptions,
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
        let files = &model.files;
        cancel.check()?;
        let total_bytes = checkpoint.total_bytes();
        phase(LoadPhase::Inspect, 0, total_bytes, "configuration and tokenizer");
        let config = open_encoder_config(files, &checkpoint).await?;
        let tokenizer = open_tokenizer_of(files, &checkpoint).await?;
        let recipe = EmbeddingRecipe::of(files, &checkpoint, config.hidden_size).await?;
        cancel.check()?;
        let max_tokens = max_tokens(options.context_tokens, &config, &recipe)?;
        // Special tokens for other uses of the family may lie behind the model's vocabulary: no text becomes one.
        let behind = config.vocab_size as u32..tokenizer.vocab_size() as u32;
        if behind.into_iter().any(|id| !tokenizer.is_special(id)) {
            return Err(Error::bad_model(format!(
                "the tokenizer has {} tokens, but the model has only {}; the files do not belong together",
                tokenizer.vocab_size(),
                config.vocab_size
            )));
        }

        phase(LoadPhase::Weights, 0, total_bytes, "");
        let plan = LoadPlan { quantize: options.quantize, progress, cancel };
        let mut encoder = Box::pin(Encoder::load(&checkpoint, config, max_tokens, &device, &plan)).await?;
        for (path, dense) in &recipe.projections {
            let own_file = Box::pin(EmbeddingRecipe::open_projection(files, path)).await?;
            Box::pin(encoder.project(own_file.as_ref().unwrap_or(&checkpoint), dense, &plan))
                .await
                .map_err(|error| error.context(path))?;
        }
        cancel.check()?;
        phase(LoadPhase::WarmUp, total_bytes, total_bytes, "first text");
        let fingerprint = checkpoint.fingerprint().hex();
        let engine = Self(Rc::new(Loaded { name: name(files, &checkpoint)?, tokenizer, recipe, encoder, fingerprint }));
        Box::pin(engine.0.encoder.try_device(cancel)).await?;
        engine.warm_up().await?;
        cancel.check()?;
        phase(LoadPhase::Ready, total_bytes, total_bytes, "");
        Ok(engine)
    }

    /// What was loaded, where, and how much memory it takes.
    pub fn info(&self) -> EngineInfo {
        let (encoder, config) = (&self.0.encoder, self.config());
        EngineInfo {
            kind: ModelKind::Encoder,
            model: self.0.name.clone(),
            architecture: config.architecture().to_owned(),
            device: encoder.device().report().clone(),
            memory_bytes: encoder.bytes(),
            context_tokens: encoder.max_tokens(),
            vocab_size: config.vocab_size,
            quantize: encoder.matrix_kind(),
            fingerprint: self.0.fingerprint.clone(),
            has_chat_template: false,
            embedding_dimensions: Some(self.0.recipe.dimensions(config.hidden_size)),
            prompts: self.0.recipe.prompts.keys().cloned().collect(),
            labels: config.classifier.as_ref().map(|classifier| classifier.labels.clone()),
        }
    }

    /// The unit vector of a text behind the model's default prompt, pooled as the model's files say. A text that is too long is cut at its end, which the
    /// result tells.
    pub async fn embed(&self, text: &str) -> Result<Embedding> {
        self.embed_prompted(text, None).await
    }

    /// The same behind the prompt of such a name. Fails with `bad-input` where the model has none of that name.
    pub async fn embed_prompted(&self, text: &str, prompt: Option<&str>) -> Result<Embedding> {
        let (ids, truncated_tokens) = self.encode(&format!("{}{text}", self.0.recipe.prompt(prompt)?))?;
        let vector = self.0.encoder.pooled(&ids, self.0.recipe.pooling).await?;
        Embedding::unit(vector, ids.len(), truncated_tokens)
    }

    /// The unit vectors of texts, in their order.
    pub async fn embed_all(&self, texts: &[impl AsRef<str>]) -> Result<Vec<Embedding>> {
        let mut embeddings = Vec::with_capacity(texts.len());
        for text in texts {
            embeddings.push(self.embed(text.as_ref()).await?);
        }
        Ok(embeddings)
    }

    /// The labels of the model's classification head with their scores, the best first. A text that is too long is cut at its end. Fails with
    /// `unsupported-model` where the model has no such head.
    pub async fn classify(&self, text: &str) -> Result<Vec<LabelScore>> {
        let logits = self.class_logits(text).await?;
        self.scores(&logits)
    }

    /// The logits of the model's classification head, in the order of its labels.
    pub async fn class_logits(&self, text: &str) -> Result<Vec<f32>> {
        let (ids, _) = self.encode(text)?;
        self.0.encoder.class_logits(&ids, &[]).await
    }

    /// The labels for two texts as one sequence, as cross-encoders and models of inference take them. What is too long is cut at the ends of the texts, of
    /// the longer one first. Fails as [`Self::classify`] does, and with `unsupported-model` where the model's tokenizer has no form for pairs.
    pub async fn classify_pair(&self, first: &str, second: &str) -> Result<Vec<LabelScore>> {
        let logits = self.pair_logits(first, second).await?;
        self.scores(&logits)
    }

    /// The logits of the model's classification head for two texts, in the order of its labels.
    pub async fn pair_logits(&self, first: &str, second: &str) -> Result<Vec<f32>> {
        let pair = self.encode_pair(first, second)?;
        self.0.encoder.class_logits(&pair.ids, &pair.types).await
    }

    /// The tokens of two texts as one sequence, and how many did not fit.
    pub fn encode_pair(&self, first: &str, second: &str) -> Result<EncodedPair> {
        self.0.tokenizer.encode_pair(first, second, self.0.encoder.max_tokens())
    }

    fn scores(&self, logits: &[f32]) -> Result<Vec<LabelScore>> {
        match &self.config().classifier {
            Some(classifier) => class_scores(logits, classifier),
            None => Err(Error::internal("an encoder without labels gave logits")),
        }
    }

    /// The last layer's states of all tokens, `[ids, d]`, so that anyone can compare with a reference.
    pub async fn states(&self, ids: &[u32]) -> Result<Vec<f32>> {
        self.0.encoder.states(ids).await
    }

    /// The tokens of a text with the model's special tokens around it, and how many did not fit.
    pub fn encode(&self, text: &str) -> Result<(Vec<u32>, usize)> {
        let options = EncodeOptions { add_special: true, parse_special: false };
        self.0.tokenizer.encode_at_most(text, options, self.0.encoder.max_tokens())
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.0.tokenizer
    }

    /// The model's configuration.
    pub fn config(&self) -> &EncoderConfig {
        self.0.encoder.config()
    }

    /// Computes a short text, so that the first one waits for no pipeline.
    async fn warm_up(&self) -> Result<()> {
        let ids = vec![0; self.0.encoder.max_tokens().min(2)];
        self.0.encoder.pooled(&ids, self.0.recipe.pooling).await?;
        if self.config().classifier.is_some() {
            self.0.encoder.class_logits(&ids, &[]).await?;
        }
        Ok(())
    }
}

/// Tokens of a text at most: what was asked for within the model's positions, or what the model was trained on.
pub(crate) fn max_tokens(asked: Option<usize>, config: &EncoderConfig, recipe: &EmbeddingRecipe) -> Result<usize> {
    match asked {
        None => Ok(recipe.max_tokens.unwrap_or(config.max_tokens()).min(config.max_tokens())),
        asked => context_tokens(asked, config.max_tokens()),
    }
}
