//! How a layer's contribution joins the residual stream. Floats are kept as bits, so that a shape can be a key.

/// What happens to a contribution on its way into the residual stream, and to the stream behind it; see [`crate::residual_norm`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResidualSpec {
    multiplier: u32,
    post_epsilon: Option<u32>,
    next_epsilon: Option<u32>,
}

impl ResidualSpec {
    /// The contribution times `multiplier` is added.
    pub const fn new(multiplier: f32) -> Self {
        Self { multiplier: multiplier.to_bits(), post_epsilon: None, next_epsilon: None }
    }

    /// The contribution is normalised with this ε before.
    #[must_use]
    pub const fn with_post_norm(self, epsilon: f32) -> Self {
        Self { post_epsilon: Some(epsilon.to_bits()), ..self }
    }

    /// The sum is normalised with this ε for what comes next.
    #[must_use]
    pub const fn with_next_norm(self, epsilon: f32) -> Self {
        Self { next_epsilon: Some(epsilon.to_bits()), ..self }
    }

    /// The factor on the contribution.
    pub const fn multiplier(&self) -> f32 {
        f32::from_bits(self.multiplier)
    }

    /// ε of the contribution's normalisation.
    pub fn post_epsilon(&self) -> Option<f32> {
        self.post_epsilon.map(f32::from_bits)
    }

    /// ε of the sum's normalisation.
    pub fn next_epsilon(&self) -> Option<f32> {
        self.next_epsilon.map(f32::from_bits)
    }
}
