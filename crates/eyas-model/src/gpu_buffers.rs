//! The buffers that a model takes on a GPU, before there is one: as many of each size as are ever in use at once, since a buffer is used again for its own
//! size only (`eyas_kernels::with_room`). A description of what loading, canary, prefill and recorded steps allocate.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter::repeat_n,
};

use eyas_core::{Quantize, Result};
use eyas_kernels::{AttentionSpec, MatrixSpec, buffer_bytes};
use eyas_weights::Checkpoint;

use crate::{
    DecoderConfig, DenseConfig, EncoderConfig, canary,
    encoder::room,
    encoder_layout::{EncoderLayout, expected_norms},
    encoder_names::EncoderMatrix,
    layout::Layout,
    padded_tokens::step_tokens,
};

/// What a model takes on a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GpuNeed {
    /// Bytes of all buffers that stay: weights, one session's cache, tables, and what steps of any length compute with.
    pub buffer_bytes: u64,
    /// Bytes of what is read back at most at a time while a device is tried.
    pub read_bytes: u64,
}

/// How many buffers there are of a size.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buffers(BTreeMap<u64, u64>);

impl Buffers {
    /// Of so many 32-bit values each.
    fn of(values: impl IntoIterator<Item = usize>) -> Self {
        let mut buffers = Self::default();
        buffers.add(values);
        buffers
    }

    fn add(&mut self, values: impl IntoIterator<Item = usize>) {
        for count in values {
            *self.0.entry(buffer_bytes(4 * count as u64)).or_default() += 1;
        }
    }

    /// Those of both, which are in use at the same time.
    fn and(mut self, other: Self) -> Self {
        for (bytes, count) in other.0 {
            *self.0.entry(bytes).or_default() += count;
        }
        self
    }

    /// What is enough for either.
    fn or(mut self, other: Self) -> Self {
        for (bytes, count) in other.0 {
            let most = self.0.entry(bytes).or_default();
            *most = count.max(*most);
        }
        self
    }

    fn bytes(&self) -> u64 {
        self.0.iter().map(|(bytes, count)| bytes * count).sum()
    }
}

/// Values of a packed matrix's buffers.
pub(crate) fn matrix_values(spec: MatrixSpec) -> impl Iterator<Item = usize> {
    let scales = spec.rows * spec.blocks_per_row();
    let bias = if spec.has_bias { spec.rows } else { 0 };
    [spec.rows * spec.words_per_row(), scales, bias].into_iter().filter(|values| *values > 0)
}

/// What every model has: the zero that stands for what is not there, and the sums of what was uploaded with their extents.
fn of_every_model() -> Buffers {
    Buffers::of([1, 64, 64 * 64])
}

/// Widths in words of the inputs that a GPU rounds for products with several tokens ([`MatrixSpec::rounded_row_words`]).
#[derive(Debug, Clone, Default)]
struct RoundedInputs {
    /// Of all layers, each width once: a layer's products come one behind the other.
    widths: BTreeSet<usize>,
    /// Of each product of the first layer.
    first_layer: Vec<usize>,
}

impl RoundedInputs {
    /// Of the matrices of all layers, and those of the first one.
    fn of(matrices: impl Iterator<Item = (bool, MatrixSpec)>) -> Self {
        let mut inputs = Self::default();
        for (is_first, spec) in matrices.filter(|(_, spec)| spec.rounded_row_words() > 0) {
            inputs.widths.insert(spec.rounded_row_words());
            inputs.first_layer.extend(is_first.then_some(spec.rounded_row_words()));
        }
        inputs
    }

    /// While a step of so many tokens is computed.
    fn of_step(&self, tokens: usize) -> Buffers {
        let tokens = if tokens > 1 { tokens } else { 0 };
        Buffers::of(self.widths.iter().map(|width| tokens * width).filter(|words| *words > 0))
    }

    /// Where nothing of the first layer is freed.
    fn of_audit(&self, tokens: usize) -> Buffers {
        let tokens = if tokens > 1 { tokens } else { 0 };
        Buffers::of(self.first_layer.iter().map(|width| tokens * width).filter(|words| *words > 0))
    }
}

/// Words of a step tensor for so many tokens.
const fn step_words(tokens: usize) -> usize {
    2 + tokens
}

/// Workgroups that share the positions which a single token sees, at most: [`eyas_core::Tuning::attention_splits`].
const MOST_SPLITS: usize = 8;

/// Tokens of a step with guesses: `eyas_kernels::GuessRecording::TOKENS`.
const GUESS_TOKENS: usize = 8;
#[cfg(feature = "gpu")]
const _: () = assert!(GUESS_TOKENS == eyas_kernels::GuessRecording::TOKENS);

/// The extent of a copy.
const COPY_WORDS: usize = 5;

/// What a decoder takes with one session of `context` tokens, that are computed at most `chunk` at a time.
pub fn decoder_gpu_need(
    checkpoint: &Checkpoint,
    config: &DecoderConfig,
    quantize: Quantize,
    (context, chunk): (usize, usize),
) -> Result<GpuNeed> {
    let layout = Layout::check(checkpoint, config.clone(), quantize)?;
    let config = &layout.config;
    let mut resident = of_every_model().and(layout.buffers());
    let tables = 1 + usize::from(config.local_rope.is_some());
    let lengths = 1 + usize::from(config.rope.switch_at().is_some_and(|longest_short| longest_short < context));
    resident.add(repeat_n(context * config.rotary_dim, tables * lengths));
    let caches = config.layers.iter().map(|layer| layer.cache_rows(context, chunk) * config.kv_heads * config.head_dim);
    resident.add(caches.flat_map(|values| [values; 2]));

    let steps = DecoderSteps { config, rounded: layout.rounded_inputs(), chunk: step_tokens(chunk.min(context)) };
    let tried = step_tokens(canary::chunk(chunk, context));
    let recordings = steps.recording(1).and(steps.recording(1)).and(steps.choice()).and(steps.guesses(context, chunk));
    let passing = steps.prefill().or(steps.audit(steps.chunk, tried)).or(steps.audit(1, 1));
    Ok(GpuNeed {
        buffer_bytes: resident.and(recordings).and(passing).bytes(),
        read_bytes: 4 * (2 * config.vocab_size + 5 * tried * steps.widest()).max(GUESS_TOKENS * config.vocab_size) as u64,
    })
}

/// What a decoder's steps allocate.
struct DecoderSteps<'a> {
    config: &'a DecoderConfig,
    rounded: RoundedInputs,
    /// Tokens for which a step of several has room.
    chunk: usize,
}

impl DecoderSteps<'_> {
    fn q_width(&self) -> usize {
        self.config.heads * self.config.head_dim
    }

    fn qkv_width(&self) -> usize {
        self.q_width() + 2 * self.config.kv_heads * self.config.head_dim
    }

    fn widest(&self) -> usize {
        self.qkv_width().max(self.config.hidden_size).max(self.config.intermediate_size)
    }

    /// What lies between the two halves of attention, for each of so many tokens: queries, or in all the shares of a single token's positions.
    fn between(&self, tokens: usize) -> usize {
        let spec = AttentionSpec::new(self.config.heads, self.config.kv_heads, self.config.head_dim, 1);
        self.q_width().max(spec.split_words(MOST_SPLITS).div_ceil(tokens))
    }

    /// Whether contributions join the residual stream by a launch of their own, which normalises for what comes next.
    fn has_joins(&self) -> bool {
        #[allow(clippy::float_cmp, reason = "exactly one is what configurations say")]
        let is_sum = self.config.residual_multiplier == 1.0;
        self.config.norm_placement.has_behind() || !is_sum
    }

    /// Widths of the activations of a layer for so many tokens, without the residual stream.
    fn layer(&self, tokens: usize, is_first: bool, is_last: bool) -> Vec<usize> {
        let (d, has_before) = (self.config.hidden_size, self.config.norm_placement.has_before());
        let mut widths = vec![self.qkv_width(), self.between(tokens), self.q_width(), self.config.intermediate_size];
        if self.has_joins() {
            widths.extend([d, d]);
            widths.extend(repeat_n(d, usize::from(has_before && is_first)));
            widths.extend(repeat_n(d, usize::from(has_before)));
            widths.extend(repeat_n(d, usize::from(has_before || is_last)));
        } else {
            widths.extend(repeat_n(d, 2 * usize::from(has_before)));
        }
        widths
    }

    /// The residual stream and a layer, of so many tokens, in use at once.
    fn one_layer(&self, tokens: usize) -> Buffers {
        let widths = self.layer(tokens, true, self.config.layers.len() == 1 || !self.config.norm_placement.has_before());
        Buffers::of(widths.into_iter().chain([self.config.hidden_size]).map(|width| tokens * width))
    }

    /// What comes behind the layers for so many tokens.
    fn head(&self, tokens: usize) -> Buffers {
        let norm = usize::from(!self.has_joins());
        Buffers::of(repeat_n(self.config.hidden_size, norm).chain([self.config.vocab_size]).map(|width| tokens * width))
    }

    /// A recorded step of so many tokens, which keeps all that it computes.
    fn recording(&self, tokens: usize) -> Buffers {
        let last = self.config.layers.len().saturating_sub(1);
        let layers = (0..=last).flat_map(|layer| self.layer(1, layer == 0, layer == last));
        let mut buffers = Buffers::of(layers.chain([self.config.hidden_size]).map(|width| tokens * width));
        // The best of each part of the vocabulary, and the tokens chosen.
        buffers.add([step_words(tokens), tokens * 2 * 64, if tokens > 1 { tokens } else { 16 }]);
        buffers.and(self.head(tokens))
    }

    /// The recorded step with guesses and what is read back of it, where a cache of this context and chunk has any.
    fn guesses(&self, context: usize, chunk: usize) -> Buffers {
        if context.min(chunk) < 2 {
            return Buffers::default();
        }
        self.recording(GUESS_TOKENS).and(Buffers::of([GUESS_TOKENS]))
    }

    /// What a draw reads, what is read back, and the step with which a recording begins.
    fn choice(&self) -> Buffers {
        Buffers::of([2 * self.config.vocab_size, 8 + 16, step_words(1), 16, 16, self.config.vocab_size])
    }

    /// A chunk of a prompt, and its last token.
    fn prefill(&self) -> Buffers {
        let tokens = self.chunk;
        let last = Buffers::of([self.config.hidden_size, COPY_WORDS, step_words(tokens)]);
        self.one_layer(tokens).and(self.rounded.of_step(tokens)).and(last).and(self.head(1))
    }

    /// The first layer as the canary computes it: nothing is freed, and what is updated in place is copied before.
    fn audit(&self, room: usize, tokens: usize) -> Buffers {
        let (d, capped) = (self.config.hidden_size, usize::from(self.config.logit_softcap.is_some()));
        let mut buffers = self.one_layer(room).and(self.rounded.of_audit(room)).and(self.head(1));
        buffers.add([tokens * d, tokens * d, COPY_WORDS, step_words(room)]);
        buffers.add(repeat_n(self.config.vocab_size, capped));
        buffers.add(repeat_n(d, usize::from(room > 1)));
        buffers
    }
}

/// What an encoder takes for texts of at most `max_tokens` tokens, with projections behind its pooling.
pub fn encoder_gpu_need(
    checkpoint: &Checkpoint,
    config: &EncoderConfig,
    quantize: Quantize,
    max_tokens: usize,
    projections: &[(DenseConfig, MatrixSpec)],
) -> Result<GpuNeed> {
    let mut resident = of_every_model();
    resident.add(projections.iter().flat_map(|(_, spec)| matrix_values(*spec)));
    let spec = config.attention_spec(0, max_tokens);
    resident.add([spec.cache_rows() * spec.head_dim; 2]);
    let rounded;
    if let Some(decoder) = &config.decoder {
        let layout = Layout::check(checkpoint, decoder.as_ref().clone(), quantize)?;
        rounded = layout.rounded_inputs();
        resident = resident.and(layout.buffers());
        resident.add([max_tokens * decoder.rotary_dim; 2]);
    } else {
        let layout = EncoderLayout::check(checkpoint, config, quantize)?;
        rounded = layout.rounded_inputs();
        resident = resident.and(layout.buffers(config));
        resident.add([1]);
        resident.add(repeat_n(max_tokens * config.head_dim(), 2 * usize::from(config.ropes.is_some())));
    }
    let steps = EncoderSteps { config, decoder: config.decoder.as_deref(), rounded, projections, qkv_width: spec.qkv_width() };
    let (single, short, long) = (1, room(2, max_tokens), room(max_tokens, max_tokens));
    let tried = canary::text(max_tokens);
    let mut texts = steps.text(single);
    if short > 1 {
        texts = texts.and(steps.text(short));
    }
    if long > short {
        texts = texts.and(steps.text(long));
    }
    let passing = texts.or(steps.audit(room(tried, max_tokens), step_tokens(tried)));
    let d = config.hidden_size;
    Ok(GpuNeed {
        buffer_bytes: resident.and(passing).bytes(),
        read_bytes: 4 * (long * d + 5 * step_tokens(tried) * d.max(config.intermediate_size).max(spec.qkv_width())) as u64,
    })
}

/// What an encoder's steps allocate.
struct EncoderSteps<'a> {
    config: &'a EncoderConfig,
    decoder: Option<&'a DecoderConfig>,
    rounded: RoundedInputs,
    projections: &'a [(DenseConfig, MatrixSpec)],
    qkv_width: usize,
}

impl EncoderSteps<'_> {
    /// What stands behind the layers, of one token.
    fn behind(&self) -> Buffers {
        let d = self.config.hidden_size;
        let mut buffers = Buffers::of([d, COPY_WORDS]);
        if let Some(classifier) = &self.config.classifier {
            buffers.add([d, d, classifier.labels.len()]);
        }
        buffers.add(self.projections.iter().map(|(_, spec)| spec.rows));
        buffers
    }

    /// A text with room for so many tokens.
    fn text(&self, tokens: usize) -> Buffers {
        let d = self.config.hidden_size;
        let words = Buffers::of([step_words(tokens); 2]);
        let body = if let Some(config) = self.decoder {
            DecoderSteps { config, rounded: RoundedInputs::default(), chunk: tokens }.one_layer(tokens)
        } else {
            let widths = [d, d, d, self.qkv_width, self.config.intermediate_size];
            Buffers::of(widths.map(|width| tokens * width))
        };
        body.and(self.rounded.of_step(tokens)).and(words).and(self.behind())
    }

    /// The first layer as the canary computes it.
    fn audit(&self, room: usize, tokens: usize) -> Buffers {
        let (d, ff) = (self.config.hidden_size, self.config.intermediate_size);
        let behind = self.behind();
        let mut buffers = if let Some(config) = self.decoder {
            DecoderSteps { config, rounded: self.rounded.clone(), chunk: room }.audit(room, tokens)
        } else {
            let is_pre_norm = self.config.family.is_pre_norm();
            let narrow = if is_pre_norm { 7 } else { 8 };
            let wide = [self.qkv_width, ff].map(|width| room * width);
            let mut buffers = Buffers::of(wide.into_iter().chain(repeat_n(room * d, narrow)));
            buffers.add(if is_pre_norm { vec![tokens * d; 2] } else { vec![tokens * ff] });
            buffers.add([step_words(room), COPY_WORDS]);
            buffers.and(self.rounded.of_audit(room))
        };
        // Activations in place are copied before.
        buffers.add(self.config.classifier.iter().map(|_| d));
        buffers.add(self.projections.iter().filter(|(dense, _)| dense.activation.is_some()).map(|(_, spec)| spec.rows));
        buffers.and(behind)
    }
}

impl Layout {
    /// The buffers of the weights.
    fn buffers(&self) -> Buffers {
        let norms = self.norm_values();
        Buffers::of(self.specs().flat_map(matrix_values).chain(norms))
    }

    fn rounded_inputs(&self) -> RoundedInputs {
        RoundedInputs::of(self.layer_specs())
    }
}

impl EncoderLayout {
    /// The buffers of the weights.
    fn buffers(&self, config: &EncoderConfig) -> Buffers {
        let d = config.hidden_size;
        let mut buffers = Buffers::of(self.matrices.values().flat_map(|matrix| matrix_values(matrix.spec())));
        buffers.add(repeat_n(d, 2 * expected_norms(config).len()));
        if config.family.has_position_table() {
            buffers.add([step_tokens(config.max_tokens()) * d]);
        }
        if config.has_types_in_pairs() {
            buffers.add([config.token_types * d]);
        }
        buffers
    }

    fn rounded_inputs(&self) -> RoundedInputs {
        RoundedInputs::of(self.matrices.iter().filter_map(|(matrix, builder)| match matrix {
            EncoderMatrix::Qkv(layer) | EncoderMatrix::Output(layer) | EncoderMatrix::Up(layer) | EncoderMatrix::Down(layer) => {
                Some((*layer == 0, builder.spec()))
            }
            EncoderMatrix::Words | EncoderMatrix::HeadDense | EncoderMatrix::HeadOut => None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_in_use_at_once_are_counted_and_others_are_used_again() {
        let (first, second) = (Buffers::of([64, 64, 65]), Buffers::of([64, 1000]));
        assert_eq!(first.bytes(), 256 + 256 + 512);
        assert_eq!(first.clone().and(second.clone()).bytes(), 3 * 256 + 512 + 4096);
        assert_eq!(first.or(second).bytes(), 2 * 256 + 512 + 4096);
    }
}
