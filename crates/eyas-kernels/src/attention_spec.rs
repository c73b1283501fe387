//! The static shape of attention and of rotary position embedding. Floats are kept as bits, so that a shape can be a key.

/// Heads, sizes and scores of one attention layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AttentionSpec {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Size of a head.
    pub head_dim: usize,
    /// Rows of a head in the KV cache. Without a window, position `p` is in row `p`; with one, in row `p % context`, so that a cache of at
    /// least `window + tokens - 1` rows serves steps of `tokens` tokens at any position.
    pub context: usize,
    /// How many positions a token sees, itself included; all before it where there is none. Where attention is not causal, it sees as many on either side,
    /// itself counted on both.
    pub window: Option<usize>,
    /// Whether a token sees only what stands before it. Otherwise the tokens of a step see each other, and the cache holds the whole step.
    pub is_causal: bool,
    scale_bits: u32,
    softcap_bits: Option<u32>,
}

impl AttentionSpec {
    /// Attention to all positions with scores divided by `√head_dim`.
    pub fn new(heads: usize, kv_heads: usize, head_dim: usize, context: usize) -> Self {
        let scale = (1.0 / (head_dim as f64).sqrt()) as f32;
        Self {
            heads,
            kv_heads,
            head_dim,
            context,
            window: None,
            is_causal: true,
            scale_bits: scale.to_bits(),
            softcap_bits: None,
        }
    }

    /// The same with another factor on scores.
    #[must_use]
    pub fn with_scale(self, scale: f32) -> Self {
        Self { scale_bits: scale.to_bits(), ..self }
    }

    /// The same with scores bent below `cap` by `cap · tanh(score / cap)` (Gemma 2, arXiv 2408.00118).
    #[must_use]
    pub fn with_softcap(self, cap: f32) -> Self {
        Self { softcap_bits: Some(cap.to_bits()), ..self }
    }

    /// The same where a token sees `window` positions, itself included (arXiv 2004.05150).
    #[must_use]
    pub fn with_window(self, window: usize) -> Self {
        Self { window: Some(window), ..self }
    }

    /// The same where the tokens of a step see each other, as in an encoder (arXiv 1810.04805): all of them, or those nearer than the window.
    #[must_use]
    pub fn bidirectional(self) -> Self {
        Self { is_causal: false, ..self }
    }

    /// The same in a cache of so many rows a head.
    #[must_use]
    pub fn with_context(self, context: usize) -> Self {
        Self { context, ..self }
    }

    /// Width of a query row.
    pub const fn q_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Width of a key or value row.
    pub const fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Width of a row that holds query, key and value side by side.
    pub const fn qkv_width(&self) -> usize {
        self.q_width() + 2 * self.kv_width()
    }

    /// The factor on a score.
    pub const fn scale(&self) -> f32 {
        f32::from_bits(self.scale_bits)
    }

    /// What scores are bent below.
    pub fn softcap(&self) -> Option<f32> {
        self.softcap_bits.map(f32::from_bits)
    }

    /// Whether positions come around in the cache.
    pub const fn comes_around(&self) -> bool {
        self.window.is_some() && self.is_causal
    }

    /// Rows of a cache tensor `[cache_rows, head_dim]`: those of the first key and value head, then those of the next. A head's rows stand
    /// together because attention reads them one behind the other.
    pub const fn cache_rows(&self) -> usize {
        self.kv_heads * self.context
    }

    /// The row of a position among those of its head.
    pub const fn row(&self, position: usize) -> usize {
        if self.comes_around() { position % self.context } else { position }
    }

    /// Where the values of a head at a position begin in a cache.
    pub const fn cache_index(&self, kv_head: usize, position: usize) -> usize {
        (kv_head * self.context + self.row(position)) * self.head_dim
    }

    /// Where a column of the value of a head at a position is in a cache whose values stand in strips of so many columns:
    /// `[kv_heads][head_dim / strip][context][strip]`, which for `strip = head_dim` is the order of the keys.
    pub const fn value_index(&self, kv_head: usize, position: usize, column: usize, strip: usize) -> usize {
        let strips_before = kv_head * (self.head_dim / strip) + column / strip;
        (strips_before * self.context + self.row(position)) * strip + column % strip
    }

    /// Words that a GPU writes between the two halves of attention for a single token whose positions are shared out `splits` ways: of each head's shares
    /// the sum of values, the largest score and the sum of weights.
    pub const fn split_words(&self, splits: usize) -> usize {
        self.heads * splits * (self.head_dim + 2)
    }

    /// The first position that the token at `position` sees.
    pub fn first_visible(&self, position: usize) -> usize {
        self.window.map_or(0, |window| (position + 1).saturating_sub(window))
    }

    /// One behind the last position that the token at `position` sees in a sequence that ends before `end`.
    pub fn visible_end(&self, position: usize, end: usize) -> usize {
        end.min(position + self.reach())
    }

    /// One more than the positions behind itself that a token may see.
    pub(crate) fn reach(&self) -> usize {
        if self.is_causal { 1 } else { self.window.unwrap_or(self.context) }
    }
}

/// How queries and keys are normalised before they are rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QkNorm {
    /// Not at all.
    None,
    /// Each head by its own root mean square; weights `[2 head_dim]`: those of queries, then those of keys (Qwen 3, arXiv 2505.09388).
    PerHead {
        /// ε as bits of an `f32`.
        epsilon_bits: u32,
    },
    /// All heads of a token together; weights `[q_width + kv_width]` (OLMo 2, arXiv 2501.00656).
    FullWidth {
        /// ε as bits of an `f32`.
        epsilon_bits: u32,
    },
}

/// What happens to queries and keys before attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RopeSpec {
    /// Leading dimensions of a head that are rotated (all of them in Llama); even, and 0 where there is no position embedding.
    pub rotary_dim: usize,
    /// How they are normalised before.
    pub qk_norm: QkNorm,
}

impl RopeSpec {
    /// Rotation only.
    pub const fn new(rotary_dim: usize) -> Self {
        Self { rotary_dim, qk_norm: QkNorm::None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_counts_the_token_itself() {
        let spec = AttentionSpec::new(1, 1, 4, 5).with_window(3);
        assert_eq!((spec.first_visible(1), spec.first_visible(2), spec.first_visible(3)), (0, 0, 1));
        assert_eq!((spec.row(4), spec.row(5)), (4, 0));
        assert!((spec.scale() - 0.5).abs() < 1e-9);
    }

    #[test]
    fn the_values_of_a_strip_stand_together() {
        let spec = AttentionSpec::new(2, 2, 8, 5);
        assert_eq!((spec.value_index(1, 3, 2, 8), spec.cache_index(1, 3) + 2), (66, 66));
        assert_eq!((spec.value_index(0, 3, 2, 4), spec.value_index(0, 3, 6, 4), spec.value_index(1, 3, 6, 4)), (14, 34, 74));
    }

    #[test]
    fn without_causality_the_whole_sequence_is_seen() {
        let spec = AttentionSpec::new(1, 1, 4, 9).with_window(3);
        assert_eq!((spec.visible_end(2, 7), spec.first_visible(5)), (3, 3));
        let spec = AttentionSpec::new(1, 1, 4, 9).bidirectional();
        assert_eq!((spec.visible_end(2, 7), spec.first_visible(5)), (7, 0));
    }

    #[test]
    fn without_causality_a_window_reaches_to_both_sides() {
        let spec = AttentionSpec::new(1, 1, 4, 9).with_window(3).bidirectional();
        assert_eq!((spec.first_visible(4), spec.visible_end(4, 9), spec.visible_end(4, 6)), (2, 7, 6));
        assert_eq!((spec.row(8), spec.comes_around()), (8, false));
    }
}
