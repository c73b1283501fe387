//! The extension's implementation for CubeCL: every operation is one launch of one WGSL kernel.

use burn::{
    backend::{
        Cube,
        wgpu::{CubeDim, CubeTensor, KernelSource, SourceKernel, SourceTemplate},
    },
    tensor::{Bytes, DType, Shape},
};
use cubecl::{
    prelude::{CubeCount, KernelId},
    server::{Handle, KernelArguments},
};

use super::{
    attention::Bundle,
    audit,
    kernel::{GRID_X, Kernel, Output},
    one_by_one::is_one_by_one,
    product::{Input, Tile},
    room::rows_with_room,
    split_attention::Part,
};
use crate::{Activation, AttentionSpec, KernelBackend, MatrixSpec, QkNorm, ResidualSpec, RopeSpec, RowCopy, Tuning};

impl KernelSource for Kernel {
    fn source(&self) -> SourceTemplate {
        SourceTemplate::new(Kernel::source(*self))
    }

    fn id(&self) -> KernelId {
        KernelId::new::<Self>().info(*self)
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

/// Threads of a workgroup in a product with several tokens.
const MATMUL_TILES: u32 = 32;

pub(super) fn launch(like: &CubeTensor, kernel: Kernel, grid: [u32; 3], buffers: &[&Handle]) {
    audit::note(like, kernel, buffers);
    let buffers = buffers.iter().map(|handle| (*handle).clone().binding()).collect();
    like.client.launch(
        Box::new(SourceKernel::new(kernel, CubeDim::new_1d(kernel.threads()))),
        CubeCount::Static(grid[0], grid[1], grid[2]),
        KernelArguments::new().with_buffers(buffers),
    );
}

/// A grid of at least `groups` workgroups in two dimensions, and `depth` in the third.
fn grid(groups: u32, depth: u32) -> [u32; 3] {
    [groups.min(GRID_X), groups.div_ceil(GRID_X), depth]
}

pub(super) fn float(like: &CubeTensor, rows: usize, cols: usize) -> CubeTensor {
    let handle = rows_with_room(like, rows, cols);
    CubeTensor::new_contiguous(like.client.clone(), like.device.clone(), Shape::new([rows, cols]), handle, DType::F32)
}

fn rows_and_width(tensor: &CubeTensor) -> (usize, usize) {
    let shape = tensor.meta.shape();
    (shape[0], shape[1])
}

/// A packed matrix as the kernels bind it.
struct Matrix<'a> {
    words: &'a CubeTensor,
    scales: &'a CubeTensor,
    bias: &'a CubeTensor,
    spec: MatrixSpec,
}

impl Matrix<'_> {
    fn multiply(&self, x: &CubeTensor, y: &CubeTensor, output: Output, tuning: Tuning) {
        let (tokens, _) = rows_and_width(x);
        let mut buffers = vec![&self.words.handle];
        if self.spec.kind.is_quantized() {
            buffers.push(&self.scales.handle);
        }
        if self.spec.has_bias {
            buffers.push(&self.bias.handle);
        }
        let product = product(self.spec, output, tokens, tuning);
        let rounded = rounding(product).map(|(kernel, grid)| {
            let rounded = float(x, tokens, self.spec.rounded_row_words()); // of 32 bits each, but no floats
            launch(x, kernel, grid, &[&x.handle, &rounded.handle]);
            rounded
        });
        buffers.extend([&rounded.as_ref().unwrap_or(x).handle, &y.handle]);
        launch(x, product.0, product.1, &buffers);
    }
}

/// The kernel of a product with so many tokens, and its grid.
pub(super) fn product(spec: MatrixSpec, output: Output, tokens: usize, tuning: Tuning) -> (Kernel, [u32; 3]) {
    let rows = tuning.matvec_thread_rows;
    let single = Tile { lanes: tuning.matvec_lanes, count: tuning.matvec_rows / rows, rows, tokens: 1 };
    // A single token shares a row's columns between lanes; several tokens share a row's weights within a thread.
    let (tile, input) = if tokens == 1 {
        (single, Input::Floats)
    } else if is_one_by_one() {
        (single.of_tokens(tokens as u32), Input::Floats)
    } else {
        let tokens = if tokens.is_multiple_of(tuning.matmul_tokens as usize) { tuning.matmul_tokens } else { 1 };
        let is_rounded = tuning.matmul_bits == 16 && spec.rounded_row_words() > 0;
        let tile = Tile { lanes: 1, count: MATMUL_TILES, rows: tuning.matmul_rows, tokens };
        (tile, if is_rounded { Input::Rounded } else { Input::Floats })
    };
    let units = if matches!(output, Output::Gated(_)) { spec.rows / 2 } else { spec.rows } as u32;
    let tile = tile.fitting(units, output);
    let kernel = Kernel::Matmul { spec, output, input, tile };
    (kernel, grid(units.div_ceil(tile.group_units(output)), tokens as u32 / tile.tokens))
}

/// The kernel that rounds the input of a product, and its grid, where the product takes it rounded.
pub(super) fn rounding((kernel, [_, _, depth]): (Kernel, [u32; 3])) -> Option<(Kernel, [u32; 3])> {
    let Kernel::Matmul { spec, input: Input::Rounded, tile, .. } = kernel else { return None };
    let blocks = depth * tile.tokens * (spec.cols / eyas_core::BLOCK) as u32;
    Some((Kernel::RoundX, grid(blocks.div_ceil(64), 1)))
}

/// The kernel of attention for so many tokens, and its grid.
pub(super) fn attention(spec: AttentionSpec, tokens: usize, tuning: Tuning) -> (Kernel, [u32; 3]) {
    let Tuning { attention_heads: heads, attention_tokens, reduce_lanes: lanes, .. } = tuning;
    let together = if is_one_by_one() { 1 } else { attention_tokens };
    let bundle = Bundle::fitting(spec, tokens, Bundle { heads, tokens: together, lanes });
    (Kernel::Attention { spec, bundle }, bundle.grid(spec, tokens))
}

/// The kernel that normalises, rotates and appends, and its grid.
pub(super) fn rope_append(rope: RopeSpec, spec: AttentionSpec, tokens: usize, tuning: Tuning) -> (Kernel, [u32; 3]) {
    let groups = match rope.qk_norm {
        QkNorm::None => (spec.qkv_width() as u32).div_ceil(64),
        QkNorm::PerHead { .. } => (spec.heads + 2 * spec.kv_heads) as u32,
        QkNorm::FullWidth { .. } => 3,
    };
    (Kernel::RopeAppend { rope, spec, lanes: tuning.reduce_lanes }, [groups, tokens as u32, 1])
}

/// The kernels of attention for tokens by themselves whose positions are shared out, and their grids.
pub(super) fn split_attention(rope: RopeSpec, spec: AttentionSpec, tokens: usize, tuning: Tuning) -> [(Kernel, [u32; 3]); 2] {
    let Tuning { attention_heads: heads, attention_splits: splits, reduce_lanes: lanes, .. } = tuning;
    let bundle = Bundle::fitting(spec, 1, Bundle { heads, tokens: 1, lanes });
    let [bundles, _, _] = bundle.grid(spec, 1);
    let part = if tokens == 1 { Part::Whole } else { Part::Attend };
    [
        (Kernel::SplitAttention { rope, spec, bundle, splits, part }, [bundles, splits, tokens as u32]),
        (Kernel::JoinAttention { spec, splits }, [(spec.q_width() as u32).div_ceil(64), tokens as u32, 1]),
    ]
}

impl KernelBackend for Cube {
    fn embed(words: CubeTensor, scales: CubeTensor, step: CubeTensor, tokens: usize, scale: f32, spec: MatrixSpec) -> CubeTensor {
        let y = float(&words, tokens, spec.cols);
        let mut buffers = vec![&words.handle];
        if spec.kind.is_quantized() {
            buffers.push(&scales.handle);
        }
        buffers.extend([&step.handle, &y.handle]);
        let blocks = spec.cols.div_ceil(eyas_core::BLOCK) as u32;
        let kernel = Kernel::Embed { spec, scale_bits: scale.to_bits() };
        launch(&words, kernel, [blocks.div_ceil(64), tokens as u32, 1], &buffers);
        y
    }

    fn rms_norm(x_td: CubeTensor, weight_d: CubeTensor, epsilon: f32, tuning: Tuning) -> CubeTensor {
        let (tokens, cols) = rows_and_width(&x_td);
        let y = float(&x_td, tokens, cols);
        let kernel = Kernel::RmsNorm { cols, epsilon_bits: epsilon.to_bits(), lanes: tuning.reduce_lanes };
        launch(&x_td, kernel, [tokens as u32, 1, 1], &[&x_td.handle, &weight_d.handle, &y.handle]);
        y
    }

    fn residual_norm(
        residual_td: CubeTensor,
        x_td: CubeTensor,
        post_weight_d: CubeTensor,
        next_weight_d: CubeTensor,
        spec: ResidualSpec,
        tuning: Tuning,
    ) -> (CubeTensor, CubeTensor) {
        let (tokens, cols) = rows_and_width(&x_td);
        let mut buffers = vec![&residual_td.handle, &x_td.handle];
        if spec.post_epsilon().is_some() {
            buffers.push(&post_weight_d.handle);
        }
        let normed = if spec.next_epsilon().is_some() { float(&x_td, tokens, cols) } else { residual_td.clone() };
        if spec.next_epsilon().is_some() {
            buffers.extend([&next_weight_d.handle, &normed.handle]);
        }
        let kernel = Kernel::ResidualNorm { cols, spec, lanes: tuning.reduce_lanes };
        launch(&x_td, kernel, [tokens as u32, 1, 1], &buffers);
        (residual_td, normed)
    }

    fn layer_norm(
        x_td: CubeTensor,
        added_rd: CubeTensor,
        weight_d: CubeTensor,
        bias_d: CubeTensor,
        epsilon: f32,
        adds: bool,
        tuning: Tuning,
    ) -> CubeTensor {
        let (tokens, cols) = rows_and_width(&x_td);
        let y = float(&x_td, tokens, cols);
        let kernel = Kernel::LayerNorm { cols, epsilon_bits: epsilon.to_bits(), adds, lanes: tuning.reduce_lanes };
        let mut buffers = vec![&x_td.handle];
        if adds {
            buffers.push(&added_rd.handle);
        }
        buffers.extend([&weight_d.handle, &bias_d.handle, &y.handle]);
        launch(&x_td, kernel, [tokens as u32, 1, 1], &buffers);
        y
    }

    fn activate(x_tn: CubeTensor, activation: Activation) -> CubeTensor {
        let (tokens, cols) = rows_and_width(&x_tn);
        let groups = ((tokens * cols) as u32).div_ceil(64);
        launch(&x_tn, Kernel::Activate { activation }, grid(groups, 1), &[&x_tn.handle]);
        x_tn
    }

    fn softcap(x_tn: CubeTensor, cap: f32) -> CubeTensor {
        let (tokens, cols) = rows_and_width(&x_tn);
        let groups = ((tokens * cols) as u32).div_ceil(64);
        launch(&x_tn, Kernel::Softcap { cap_bits: cap.to_bits() }, grid(groups, 1), &[&x_tn.handle]);
        x_tn
    }

    fn matmul_packed(
        words: CubeTensor,
        scales: CubeTensor,
        bias: CubeTensor,
        x_tk: CubeTensor,
        spec: MatrixSpec,
        tuning: Tuning,
    ) -> CubeTensor {
        let y = float(&x_tk, rows_and_width(&x_tk).0, spec.rows);
        Matrix { words: &words, scales: &scales, bias: &bias, spec }.multiply(&x_tk, &y, Output::Store, tuning);
        y
    }

    fn matmul_packed_add(
        words: CubeTensor,
        scales: CubeTensor,
        bias: CubeTensor,
        x_tk: CubeTensor,
        residual_tn: CubeTensor,
        spec: MatrixSpec,
        tuning: Tuning,
    ) -> CubeTensor {
        Matrix { words: &words, scales: &scales, bias: &bias, spec }.multiply(&x_tk, &residual_tn, Output::Add, tuning);
        residual_tn
    }

    fn matmul_packed_gated(
        words: CubeTensor,
        scales: CubeTensor,
        bias: CubeTensor,
        x_tk: CubeTensor,
        activation: Activation,
        spec: MatrixSpec,
        tuning: Tuning,
    ) -> CubeTensor {
        let y = float(&x_tk, rows_and_width(&x_tk).0, spec.rows / 2);
        let matrix = Matrix { words: &words, scales: &scales, bias: &bias, spec };
        matrix.multiply(&x_tk, &y, Output::Gated(activation), tuning);
        y
    }

    fn rope_append(
        qkv: CubeTensor,
        rope_table: CubeTensor,
        norm_weights: CubeTensor,
        step: CubeTensor,
        k_cache: CubeTensor,
        v_cache: CubeTensor,
        rope: RopeSpec,
        spec: AttentionSpec,
        tuning: Tuning,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        let (tokens, _) = rows_and_width(&qkv);
        let q = float(&qkv, tokens, spec.q_width());
        let mut buffers = vec![&qkv.handle, &rope_table.handle, &step.handle, &k_cache.handle, &v_cache.handle, &q.handle];
        if rope.qk_norm != QkNorm::None {
            buffers.push(&norm_weights.handle);
        }
        let (kernel, grid) = rope_append(rope, spec, tokens, tuning);
        launch(&qkv, kernel, grid, &buffers);
        (q, k_cache, v_cache)
    }

    fn attention(
        q: CubeTensor,
        k_cache: CubeTensor,
        v_cache: CubeTensor,
        step: CubeTensor,
        spec: AttentionSpec,
        tuning: Tuning,
    ) -> CubeTensor {
        let (tokens, width) = rows_and_width(&q);
        let y = float(&q, tokens, width);
        let (kernel, grid) = attention(spec, tokens, tuning);
        launch(&q, kernel, grid, &[&q.handle, &k_cache.handle, &v_cache.handle, &step.handle, &y.handle]);
        y
    }

    fn append_attention(
        qkv: CubeTensor,
        rope_table: CubeTensor,
        norm_weights: CubeTensor,
        step: CubeTensor,
        k_cache: CubeTensor,
        v_cache: CubeTensor,
        rope: RopeSpec,
        spec: AttentionSpec,
        tuning: Tuning,
    ) -> (CubeTensor, CubeTensor, CubeTensor, CubeTensor) {
        let (tokens, _) = rows_and_width(&qkv);
        let is_split = (tokens == 1 || is_one_by_one()) && tuning.attention_splits > 1 && spec.is_causal;
        if !is_split {
            let (q, k_cache, v_cache) =
                Self::rope_append(qkv, rope_table, norm_weights, step.clone(), k_cache, v_cache, rope, spec, tuning);
            let y = Self::attention(q.clone(), k_cache.clone(), v_cache.clone(), step, spec, tuning);
            return (y, q, k_cache, v_cache);
        }
        let parts = float(&qkv, tokens, spec.split_words(tuning.attention_splits as usize));
        let y = float(&qkv, tokens, spec.q_width());
        let [(split, split_grid), (join, join_grid)] = split_attention(rope, spec, tokens, tuning);
        let norm_weights = Some(&norm_weights.handle).filter(|_| rope.qk_norm != QkNorm::None);
        let mut buffers = vec![&qkv.handle, &rope_table.handle, &step.handle, &k_cache.handle, &v_cache.handle];
        if let (Kernel::SplitAttention { bundle, .. }, true) = (split, tokens > 1) {
            // Every token's key and value must be in the cache, where the tokens behind it look for them.
            let append = Kernel::SplitAttention { rope, spec, bundle, splits: 1, part: Part::Append };
            let buffers: Vec<_> = buffers.iter().copied().chain(norm_weights).collect();
            launch(&qkv, append, [split_grid[0], 1, split_grid[2]], &buffers);
        }
        buffers.push(&parts.handle);
        buffers.extend(norm_weights);
        launch(&qkv, split, split_grid, &buffers);
        launch(&qkv, join, join_grid, &[&parts.handle, &y.handle]);
        (y, parts, k_cache, v_cache)
    }

    fn copy_rows(x_rd: CubeTensor, copy: RowCopy) -> CubeTensor {
        let (rows, d) = rows_and_width(&x_rd);
        let RowCopy { parts, start, count, capacity } = copy;
        let y = float(&x_rd, parts * capacity, d);
        let extent = [start * d, count * d, parts * count * d, rows / parts * d, capacity * d].map(|values| values as u32);
        let groups = extent[2].div_ceil(64).max(1);
        let extent = x_rd.client.create(Bytes::from_elems(extent.to_vec()));
        launch(&x_rd, Kernel::Copy, grid(groups, 1), &[&x_rd.handle, &extent, &y.handle]);
        y
    }
}
