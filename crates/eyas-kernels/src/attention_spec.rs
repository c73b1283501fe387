//! The static shape of attention and of rotary position embedding.

/// Heads and sizes of one attention layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AttentionSpec {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Size of a head.
    pub head_dim: usize,
    /// Tokens that the KV cache holds.
    pub context: usize,
}

impl AttentionSpec {
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

    /// The factor on a score: `1 / √head_dim`.
    pub fn scale(&self) -> f32 {
        (1.0 / (self.head_dim as f64).sqrt()) as f32
    }
}

/// Which part of a head is rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RopeSpec {
    /// Leading dimensions of a head that are rotated (all of them in Llama); even.
    pub rotary_dim: usize,
}
