//! The backend extension: what a Burn backend must implement to run a decoder.

use burn::backend::{
    Backend, backend_extension,
    tensor::{FloatTensor, IntTensor},
};

use crate::{Activation, AttentionSpec, MatrixSpec, ResidualSpec, RopeSpec, Tuning};

/// Which rows of a tensor are copied, and where to: from each of its `parts` equal parts to the beginning of the same part of the copy.
#[derive(Debug, Clone, Copy)]
pub struct RowCopy {
    /// How many parts there are; divides the tensor's rows.
    pub parts: usize,
    /// The first row of a part that is copied.
    pub start: usize,
    /// Rows of a part that are copied.
    pub count: usize,
    /// Rows of a part of the copy; what lies behind `count` is unspecified.
    pub capacity: usize,
}

/// The hot operations of a decoder. Shapes are documented at the functions of the same names in the crate's root, which are what callers use.
#[allow(
    clippy::too_many_arguments,
    reason = "a backend operation takes its tensors flat: the dispatch macro can't see into structs"
)]
#[backend_extension(Cube: cfg(feature = "gpu"), Flex: cfg(feature = "cpu"))]
pub trait KernelBackend: Backend {
    /// See [`crate::embed`].
    fn embed(
        words: IntTensor<Self>,
        scales: FloatTensor<Self>,
        step: IntTensor<Self>,
        tokens: usize,
        scale: f32,
        spec: MatrixSpec,
    ) -> FloatTensor<Self>;
    /// See [`crate::rms_norm`].
    fn rms_norm(x_td: FloatTensor<Self>, weight_d: FloatTensor<Self>, epsilon: f32, tuning: Tuning) -> FloatTensor<Self>;
    /// See [`crate::residual_norm`].
    fn residual_norm(
        residual_td: FloatTensor<Self>,
        x_td: FloatTensor<Self>,
        post_weight_d: FloatTensor<Self>,
        next_weight_d: FloatTensor<Self>,
        spec: ResidualSpec,
        tuning: Tuning,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
    /// See [`crate::layer_norm`].
    fn layer_norm(
        x_td: FloatTensor<Self>,
        added_rd: FloatTensor<Self>,
        weight_d: FloatTensor<Self>,
        bias_d: FloatTensor<Self>,
        epsilon: f32,
        adds: bool,
        tuning: Tuning,
    ) -> FloatTensor<Self>;
    /// See [`crate::activate`].
    fn activate(x_tn: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self>;
    /// See [`crate::softcap`].
    fn softcap(x_tn: FloatTensor<Self>, cap: f32) -> FloatTensor<Self>;
    /// See [`crate::matmul`].
    fn matmul_packed(
        words: IntTensor<Self>,
        scales: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        x_tk: FloatTensor<Self>,
        spec: MatrixSpec,
        tuning: Tuning,
    ) -> FloatTensor<Self>;
    /// See [`crate::matmul_add`].
    fn matmul_packed_add(
        words: IntTensor<Self>,
        scales: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        x_tk: FloatTensor<Self>,
        residual_tn: FloatTensor<Self>,
        spec: MatrixSpec,
        tuning: Tuning,
    ) -> FloatTensor<Self>;
    /// See [`crate::matmul_gated`].
    fn matmul_packed_gated(
        words: IntTensor<Self>,
        scales: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        x_tk: FloatTensor<Self>,
        activation: Activation,
        spec: MatrixSpec,
        tuning: Tuning,
    ) -> FloatTensor<Self>;
    /// See [`crate::rope_append`].
    fn rope_append(
        qkv: FloatTensor<Self>,
        rope_table: FloatTensor<Self>,
        norm_weights: FloatTensor<Self>,
        step: IntTensor<Self>,
        k_cache: FloatTensor<Self>,
        v_cache: FloatTensor<Self>,
        rope: RopeSpec,
        spec: AttentionSpec,
        tuning: Tuning,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
    /// See [`crate::attention`].
    fn attention(
        q: FloatTensor<Self>,
        k_cache: FloatTensor<Self>,
        v_cache: FloatTensor<Self>,
        step: IntTensor<Self>,
        spec: AttentionSpec,
        tuning: Tuning,
    ) -> FloatTensor<Self>;
    /// See [`crate::append_attention`].
    fn append_attention(
        qkv: FloatTensor<Self>,
        rope_table: FloatTensor<Self>,
        norm_weights: FloatTensor<Self>,
        step: IntTensor<Self>,
        k_cache: FloatTensor<Self>,
        v_cache: FloatTensor<Self>,
        rope: RopeSpec,
        spec: AttentionSpec,
        tuning: Tuning,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
    /// See [`crate::copy_rows`] and [`crate::copy_cache`].
    fn copy_rows(x_rd: FloatTensor<Self>, copy: RowCopy) -> FloatTensor<Self>;
}
