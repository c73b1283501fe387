//! In what the layers of one decoder differ.

/// Which rotary frequencies a layer uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerRope {
    /// None: the layer knows no positions (arXiv 2501.18795).
    None,
    /// Those of [`crate::DecoderConfig::rope`].
    Global,
    /// Those of [`crate::DecoderConfig::local_rope`].
    Local,
}

/// Window and position embedding of one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerKind {
    /// How many positions a token sees, itself included; all before it where there is none.
    pub window: Option<usize>,
    /// Which rotary frequencies it uses.
    pub rope: LayerRope,
}

impl LayerKind {
    /// Attention to all positions with the global frequencies, as in Llama.
    pub const FULL: Self = Self { window: None, rope: LayerRope::Global };

    /// Rows of the layer's cache for `capacity` tokens that are computed at most `chunk` at a time. A window keeps its own positions and
    /// those that a step writes before it reads.
    pub fn cache_rows(&self, capacity: usize, chunk: usize) -> usize {
        self.window.map_or(capacity, |window| capacity.min(window.saturating_add(chunk) - 1))
    }

    /// The window where it is smaller than the cache, so that positions come around.
    pub(crate) fn window_within(&self, capacity: usize) -> Option<usize> {
        self.window.filter(|window| *window < capacity)
    }
}

/// Where a layer's normalisations stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormPlacement {
    /// Before attention and MLP (Llama).
    Before,
    /// Before and behind both (Gemma 2, arXiv 2408.00118).
    Around,
    /// Behind both only (OLMo 2, arXiv 2501.00656).
    Behind,
}

impl NormPlacement {
    pub(crate) fn has_before(self) -> bool {
        self != Self::Behind
    }

    pub(crate) fn has_behind(self) -> bool {
        self != Self::Before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_bounds_its_cache() {
        let layer = LayerKind { window: Some(8), rope: LayerRope::Local };
        assert_eq!((layer.cache_rows(100, 4), layer.cache_rows(10, 4), LayerKind::FULL.cache_rows(100, 4)), (11, 10, 100));
    }
}
