//! The extension's implementation for Flex: views of tensors' storage go in, fresh tensors come out.

use burn::{
    backend::{
        Flex,
        flex::{FlexTensor, Layout},
    },
    tensor::{Bytes, DType, Shape},
};

use super::{attention, matmul};
use crate::{Activation, AttentionSpec, KernelBackend, MatrixSpec, RopeSpec, Tuning};

/// The values of a contiguous tensor that starts at its storage's beginning, which is what every tensor of this crate is.
fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.storage::<f32>()
}

/// The words of a packed matrix or of a step.
fn words_of(tensor: &FlexTensor) -> &[u32] {
    tensor.storage::<u32>()
}

fn width(tensor: &FlexTensor) -> usize {
    let shape = tensor.layout().shape();
    shape[shape.num_dims() - 1]
}

fn float(values: Vec<f32>, rows: usize, cols: usize) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(Shape::new([rows, cols])), DType::F32)
}

impl KernelBackend for Flex {
    fn embed(words: FlexTensor, scales: FlexTensor, step: FlexTensor, tokens: usize, spec: MatrixSpec) -> FlexTensor {
        let rows = matmul::Rows::new(words_of(&words), values(&scales), spec);
        let mut out = vec![0.0; tokens * spec.cols];
        let mut unpacked = vec![0.0; rows.padded_cols()];
        for (id, out_row) in words_of(&step)[2..].iter().zip(out.chunks_mut(spec.cols)) {
            if (*id as usize) < spec.rows {
                rows.unpack(*id as usize, &mut unpacked);
                out_row.copy_from_slice(&unpacked[..spec.cols]);
            }
        }
        float(out, tokens, spec.cols)
    }

    fn rms_norm(x_td: FlexTensor, weight_d: FlexTensor, epsilon: f32, _tuning: Tuning) -> FlexTensor {
        let d = width(&x_td);
        let (x, weight) = (values(&x_td), values(&weight_d));
        let mut out = Vec::with_capacity(x.len());
        for row in x.chunks(d) {
            let factor = 1.0 / (super::vector::dot(row, row) / d as f32 + epsilon).sqrt();
            out.extend(row.iter().zip(weight).map(|(v, w)| v * factor * w));
        }
        float(out, x.len() / d, d)
    }

    fn matmul_packed(
        words: FlexTensor,
        scales: FlexTensor,
        bias: FlexTensor,
        x_tk: FlexTensor,
        spec: MatrixSpec,
        _tuning: Tuning,
    ) -> FlexTensor {
        let rows = matmul::Rows::new(words_of(&words), values(&scales), spec);
        let x = values(&x_tk);
        let mut out = vec![0.0; x.len() / spec.cols * spec.rows];
        matmul::add_product(&rows, values(&bias), x, &mut out);
        float(out, x.len() / spec.cols, spec.rows)
    }

    fn matmul_packed_add(
        words: FlexTensor,
        scales: FlexTensor,
        bias: FlexTensor,
        x_tk: FlexTensor,
        residual_tn: FlexTensor,
        spec: MatrixSpec,
        _tuning: Tuning,
    ) -> FlexTensor {
        let rows = matmul::Rows::new(words_of(&words), values(&scales), spec);
        let mut out = residual_tn;
        matmul::add_product(&rows, values(&bias), values(&x_tk), out.storage_mut::<f32>());
        out
    }

    fn matmul_packed_gated(
        words: FlexTensor,
        scales: FlexTensor,
        bias: FlexTensor,
        x_tk: FlexTensor,
        activation: Activation,
        spec: MatrixSpec,
        _tuning: Tuning,
    ) -> FlexTensor {
        let rows = matmul::Rows::new(words_of(&words), values(&scales), spec);
        let x = values(&x_tk);
        let (tokens, half) = (x.len() / spec.cols, spec.rows / 2);
        let mut both = vec![0.0; tokens * spec.rows];
        matmul::add_product(&rows, values(&bias), x, &mut both);
        let mut out = Vec::with_capacity(tokens * half);
        for row in both.chunks(spec.rows) {
            let (gate, up) = row.split_at(half);
            out.extend(gate.iter().zip(up).map(|(g, u)| matmul::activate(activation, *g) * u));
        }
        float(out, tokens, half)
    }

    fn rope_append(
        qkv: FlexTensor,
        rope_table: FlexTensor,
        step: FlexTensor,
        k_cache: FlexTensor,
        v_cache: FlexTensor,
        rope: RopeSpec,
        spec: AttentionSpec,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let (mut k_cache, mut v_cache) = (k_cache, v_cache);
        let step = words_of(&step);
        let q = attention::rope_append(
            values(&qkv),
            values(&rope_table),
            step[0] as usize,
            k_cache.storage_mut::<f32>(),
            v_cache.storage_mut::<f32>(),
            rope,
            spec,
        );
        let tokens = q.len() / spec.q_width();
        (float(q, tokens, spec.q_width()), k_cache, v_cache)
    }

    fn attention(
        q: FlexTensor,
        k_cache: FlexTensor,
        v_cache: FlexTensor,
        step: FlexTensor,
        spec: AttentionSpec,
        _tuning: Tuning,
    ) -> FlexTensor {
        let q = values(&q);
        let out = attention::attention(q, values(&k_cache), values(&v_cache), words_of(&step)[0] as usize, spec);
        float(out, q.len() / spec.q_width(), spec.q_width())
    }

    fn copy_rows(x_rd: FlexTensor, start: usize, count: usize, capacity: usize) -> FlexTensor {
        let d = width(&x_rd);
        let mut out = Vec::with_capacity(capacity * d);
        out.extend_from_slice(&values(&x_rd)[start * d..(start + count) * d]);
        out.resize(capacity * d, 0.0);
        float(out, capacity, d)
    }
}
