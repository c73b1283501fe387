//! The operations as functions on Burn tensors: shapes, units and sources.
//!
//! Axes in names: `t` tokens of this step, `k` input features, `n` output features, `d` model width, `r` rows, `c` context.

use burn::{
    backend::Dispatch,
    tensor::{Int, Tensor},
};

use crate::{
    Activation, AttentionSpec, KernelBackend, KernelDevice, MatrixSpec, MatrixUpload, ResidualSpec, RopeSpec, RowCopy, Tuning,
};

/// Makes the tensor that tells kernels where in the sequence they are: `[position of the first token, number of tokens, ids…, 0…]`,
/// with room for `padded_tokens` ids.
pub fn write_step(device: &KernelDevice, position: usize, ids: &[u32], padded_tokens: usize) -> Tensor<1, Int> {
    device.words(step_words(position, ids, padded_tokens), [2 + padded_tokens])
}

/// The words of a step; see [`write_step`].
pub(crate) fn step_words(position: usize, ids: &[u32], padded_tokens: usize) -> Vec<u32> {
    let mut words = vec![0_u32; 2 + padded_tokens];
    words[0] = position as u32;
    words[1] = ids.len() as u32;
    words[2..2 + ids.len()].copy_from_slice(ids);
    words
}

/// Uploads a packed matrix in the order that the device's kernels want. `words` is `[rows, words_per_row]` and `scales` `[rows, blocks_per_row]`, as
/// [`eyas_core::WeightKind`] says; what comes back is for the operations here, and has the same sizes.
pub fn upload_matrix(device: &KernelDevice, words: Vec<u32>, scales: Vec<f32>, spec: MatrixSpec) -> (Tensor<2, Int>, Tensor<1>) {
    let mut upload = MatrixUpload::new(device, spec);
    upload.write(0, words, scales);
    upload.finish()
}

/// Runs `work`. The results of operations on several tokens in it get buffers with room for `tokens` on a GPU, where a buffer is used again for its own
/// size only: so there are as many buffers as one step needs, whatever the steps before were.
pub fn with_room<R>(tokens: usize, work: impl FnOnce() -> R) -> R {
    #[cfg(feature = "gpu")]
    return crate::gpu::room::with_room(tokens, work);
    #[cfg(not(feature = "gpu"))]
    {
        let _ = tokens;
        work()
    }
}

/// Looks up the rows of the packed embedding matrix `[vocab, d]` that the step's ids name, times `scale`: `[tokens, d]`. An id past the
/// vocabulary gives zeros.
pub fn embed(
    words: Tensor<2, Int>,
    scales: Tensor<1>,
    step: Tensor<1, Int>,
    tokens: usize,
    scale: f32,
    spec: MatrixSpec,
) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as KernelBackend>::embed(
        words.into_dispatch(),
        scales.into_dispatch(),
        step.into_dispatch(),
        tokens,
        scale,
        spec,
    ))
}

/// Root-mean-square normalisation over the last axis, `y = x / √(mean(x²) + ε) · weight` (arXiv 1910.07467): `[t, d]` to `[t, d]`.
pub fn rms_norm(x_td: Tensor<2>, weight_d: Tensor<1>, epsilon: f32, tuning: Tuning) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as KernelBackend>::rms_norm(x_td.into_dispatch(), weight_d.into_dispatch(), epsilon, tuning))
}

/// Adds a layer's contribution to the residual stream and normalises for what comes next: `residual + multiplier · post(x)`, then `next` of
/// that, where `post` and `next` are [`rms_norm`] or nothing as `spec` says; a weight without its norm is ignored. All `[t, d]`.
///
/// Returns `(residual, normed)`; without `next` both are the residual. On a GPU `residual`'s own buffer is updated in place: no other tensor may
/// share it.
pub fn residual_norm(
    residual_td: Tensor<2>,
    x_td: Tensor<2>,
    post_weight_d: Tensor<1>,
    next_weight_d: Tensor<1>,
    spec: ResidualSpec,
    tuning: Tuning,
) -> (Tensor<2>, Tensor<2>) {
    let (residual, normed) = <Dispatch as KernelBackend>::residual_norm(
        residual_td.into_dispatch(),
        x_td.into_dispatch(),
        post_weight_d.into_dispatch(),
        next_weight_d.into_dispatch(),
        spec,
        tuning,
    );
    (Tensor::from_dispatch(residual), Tensor::from_dispatch(normed))
}

/// Normalisation over the last axis of a sum, `y = (s - mean(s)) / √(var(s) + ε) · weight + bias` with `s = x + added` (arXiv 1607.06450): `[t, d]` to
/// `[t, d]`. Row `i` of `added` `[r, d]` belongs to row `i` of `x`; it may have more rows. Without `added`, `s = x`.
pub fn layer_norm(
    x_td: Tensor<2>,
    added_rd: Option<Tensor<2>>,
    weight_d: Tensor<1>,
    bias_d: Tensor<1>,
    epsilon: f32,
    tuning: Tuning,
) -> Tensor<2> {
    let adds = added_rd.is_some();
    Tensor::from_dispatch(<Dispatch as KernelBackend>::layer_norm(
        x_td.clone().into_dispatch(),
        added_rd.unwrap_or(x_td).into_dispatch(),
        weight_d.into_dispatch(),
        bias_d.into_dispatch(),
        epsilon,
        adds,
        tuning,
    ))
}

/// The activation of every value. On a GPU `x`'s own buffer is updated in place.
pub fn activate(x_tn: Tensor<2>, activation: Activation) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as KernelBackend>::activate(x_tn.into_dispatch(), activation))
}

/// `cap · tanh(x / cap)` of every value (Gemma 2, arXiv 2408.00118). On a GPU `x`'s own buffer is updated in place.
pub fn softcap(x_tn: Tensor<2>, cap: f32) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as KernelBackend>::softcap(x_tn.into_dispatch(), cap))
}

/// `y = x · Wᵀ (+ bias)` with a packed `W` `[n, k]`: `[t, k]` to `[t, n]`. `bias` has `n` values, or one that is ignored where the matrix has none.
pub fn matmul(
    words: Tensor<2, Int>,
    scales: Tensor<1>,
    bias: Tensor<1>,
    x_tk: Tensor<2>,
    spec: MatrixSpec,
    tuning: Tuning,
) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as KernelBackend>::matmul_packed(
        words.into_dispatch(),
        scales.into_dispatch(),
        bias.into_dispatch(),
        x_tk.into_dispatch(),
        spec,
        tuning,
    ))
}

/// `residual + x · Wᵀ (+ bias)`, as [`matmul`]. On a GPU `residual`'s own buffer is updated in place: no other tensor may share it.
pub fn matmul_add(
    words: Tensor<2, Int>,
    scales: Tensor<1>,
    bias: Tensor<1>,
    x_tk: Tensor<2>,
    residual_tn: Tensor<2>,
    spec: MatrixSpec,
    tuning: Tuning,
) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as KernelBackend>::matmul_packed_add(
        words.into_dispatch(),
        scales.into_dispatch(),
        bias.into_dispatch(),
        x_tk.into_dispatch(),
        residual_tn.into_dispatch(),
        spec,
        tuning,
    ))
}

/// The gated half of an MLP (arXiv 2002.05202): `W` holds the gate's rows, then as many up rows; `y = act(x·gateᵀ) · (x·upᵀ)`, `[t, k]` to `[t, n / 2]`.
pub fn matmul_gated(
    words: Tensor<2, Int>,
    scales: Tensor<1>,
    bias: Tensor<1>,
    x_tk: Tensor<2>,
    activation: Activation,
    spec: MatrixSpec,
    tuning: Tuning,
) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as KernelBackend>::matmul_packed_gated(
        words.into_dispatch(),
        scales.into_dispatch(),
        bias.into_dispatch(),
        x_tk.into_dispatch(),
        activation,
        spec,
        tuning,
    ))
}

/// Normalises queries and keys where `rope` says so, rotates them (RoPE, arXiv 2104.09864, halves of the rotary part paired as in Hugging Face's
/// Llama) and writes keys and values into the caches at the step's positions.
///
/// `qkv` is `[t, q_width + 2 kv_width]`; `rope_table` is `[positions, rotary_dim]`: for each position the cosines of all pairs, then the sines;
/// `norm_weights` is as [`crate::QkNorm`] says, or one value that is ignored; the keys are `[cache_rows, head_dim]` as
/// [`AttentionSpec::cache_rows`] says, and the values in strips of [`KernelDevice::value_strip`] columns. Returns `(q [t, q_width], k_cache, v_cache)`;
/// the caches are updated in place.
#[allow(clippy::too_many_arguments, reason = "each is a tensor of its own or a shape")]
pub fn rope_append(
    qkv: Tensor<2>,
    rope_table: Tensor<2>,
    norm_weights: Tensor<1>,
    step: Tensor<1, Int>,
    k_cache: Tensor<2>,
    v_cache: Tensor<2>,
    rope: RopeSpec,
    spec: AttentionSpec,
    tuning: Tuning,
) -> (Tensor<2>, Tensor<2>, Tensor<2>) {
    let (q, k_cache, v_cache) = <Dispatch as KernelBackend>::rope_append(
        qkv.into_dispatch(),
        rope_table.into_dispatch(),
        norm_weights.into_dispatch(),
        step.into_dispatch(),
        k_cache.into_dispatch(),
        v_cache.into_dispatch(),
        rope,
        spec,
        tuning,
    );
    (Tensor::from_dispatch(q), Tensor::from_dispatch(k_cache), Tensor::from_dispatch(v_cache))
}

/// Attention with grouped queries (arXiv 2305.13245) over the KV cache, softmax computed online (arXiv 1805.02867): `q` `[t, q_width]` to
/// `[t, q_width]`. The token at position `p` sees positions `0..=p`, or the last of them where `spec` has a window, or all
/// up to the step's last token where `spec` is bidirectional.
pub fn attention(
    q: Tensor<2>,
    k_cache: Tensor<2>,
    v_cache: Tensor<2>,
    step: Tensor<1, Int>,
    spec: AttentionSpec,
    tuning: Tuning,
) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as KernelBackend>::attention(
        q.into_dispatch(),
        k_cache.into_dispatch(),
        v_cache.into_dispatch(),
        step.into_dispatch(),
        spec,
        tuning,
    ))
}

/// [`rope_append`], then [`attention`] of what it appended: `qkv` `[t, qkv_width]` to `[t, q_width]`. Also returns what lies between the two, which a
/// recorded step keeps, and keys and values. On a GPU the positions that a single token sees are shared out over workgroups where its tuning says so
/// (flash-decoding, <https://pytorch.org/blog/flash-decoding/>).
#[allow(clippy::too_many_arguments, reason = "one fused operation")]
pub fn append_attention(
    qkv: Tensor<2>,
    rope_table: Tensor<2>,
    norm_weights: Tensor<1>,
    step: Tensor<1, Int>,
    k_cache: Tensor<2>,
    v_cache: Tensor<2>,
    rope: RopeSpec,
    spec: AttentionSpec,
    tuning: Tuning,
) -> (Tensor<2>, Tensor<2>, Tensor<2>, Tensor<2>) {
    let (y, between, k_cache, v_cache) = <Dispatch as KernelBackend>::append_attention(
        qkv.into_dispatch(),
        rope_table.into_dispatch(),
        norm_weights.into_dispatch(),
        step.into_dispatch(),
        k_cache.into_dispatch(),
        v_cache.into_dispatch(),
        rope,
        spec,
        tuning,
    );
    [y, between, k_cache, v_cache].map(Tensor::from_dispatch).into()
}

/// Copies rows `start..start + count` of `x` `[r, d]` into a fresh tensor `[count, d]`.
pub fn copy_rows(x_rd: Tensor<2>, start: usize, count: usize) -> Tensor<2> {
    let copy = RowCopy { parts: 1, start, count, capacity: count };
    Tensor::from_dispatch(<Dispatch as KernelBackend>::copy_rows(x_rd.into_dispatch(), copy))
}

/// A second cache with the first `used` rows of each head, or of each strip of a head's values, of `cache` `[rows, head_dim or strip]`; what its other
/// rows hold is unspecified.
pub fn copy_cache(cache: Tensor<2>, used: usize, spec: AttentionSpec) -> Tensor<2> {
    let parts = spec.kv_width() / cache.dims()[1];
    let copy = RowCopy { parts, start: 0, count: used, capacity: spec.context };
    Tensor::from_dispatch(<Dispatch as KernelBackend>::copy_rows(cache.into_dispatch(), copy))
}
