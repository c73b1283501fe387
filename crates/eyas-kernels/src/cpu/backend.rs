//! The extension's implementation for Flex: views of tensors' storage go in, fresh tensors come out.

use burn::{
    backend::{
        Flex,
        flex::{FlexTensor, Layout},
    },
    tensor::{Bytes, DType, Shape},
};

use super::{activation, attention, matmul, norm};
use crate::{Activation, AttentionSpec, KernelBackend, MatrixSpec, ResidualSpec, RopeSpec, RowCopy, Tuning};

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
    fn embed(words: FlexTensor, scales: FlexTensor, step: FlexTensor, tokens: usize, scale: f32, spec: MatrixSpec) -> FlexTensor {
        let rows = matmul::Rows::new(words_of(&words), values(&scales), spec);
        let mut out = vec![0.0; tokens * spec.cols];
        let mut unpacked = vec![0.0; rows.padded_cols()];
        for (id, out_row) in words_of(&step)[2..].iter().zip(out.chunks_mut(spec.cols)) {
            if (*id as usize) < spec.rows {
                rows.unpack(*id as usize, &mut unpacked);
                for (out, weight) in out_row.iter_mut().zip(&unpacked) {
                    *out = weight * scale;
                }
            }
        }
        float(out, tokens, spec.cols)
    }

    fn rms_norm(x_td: FlexTensor, weight_d: FlexTensor, epsilon: f32, _tuning: Tuning) -> FlexTensor {
        let d = width(&x_td);
        let out = norm::rms_norm(values(&x_td), values(&weight_d), epsilon);
        let tokens = out.len() / d;
        float(out, tokens, d)
    }

    fn residual_norm(
        residual_td: FlexTensor,
        x_td: FlexTensor,
        post_weight_d: FlexTensor,
        next_weight_d: FlexTensor,
        spec: ResidualSpec,
        _tuning: Tuning,
    ) -> (FlexTensor, FlexTensor) {
        let d = width(&x_td);
        let mut residual = residual_td;
        norm::add(residual.storage_mut::<f32>(), values(&x_td), values(&post_weight_d), d, spec);
        let normed = match spec.next_epsilon() {
            None => residual.clone(),
            Some(epsilon) => {
                let out = norm::rms_norm(values(&residual), values(&next_weight_d), epsilon);
                let tokens = out.len() / d;
                float(out, tokens, d)
            }
        };
        (residual, normed)
    }

    fn layer_norm(
        x_td: FlexTensor,
        added_rd: FlexTensor,
        weight_d: FlexTensor,
        bias_d: FlexTensor,
        epsilon: f32,
        adds: bool,
        _tuning: Tuning,
    ) -> FlexTensor {
        let d = width(&x_td);
        let affine = (values(&weight_d), values(&bias_d));
        let added: &[f32] = if adds { values(&added_rd) } else { &[] };
        let out = norm::layer_norm(values(&x_td), added, affine, epsilon);
        let tokens = out.len() / d;
        float(out, tokens, d)
    }

    fn activate(x_tn: FlexTensor, activation: Activation) -> FlexTensor {
        let mut out = x_tn;
        activation::activate(activation, out.storage_mut::<f32>());
        out
    }

    fn softcap(x_tn: FlexTensor, cap: f32) -> FlexTensor {
        let mut out = x_tn;
        for value in out.storage_mut::<f32>() {
            *value = norm::softcap(*value, cap);
        }
        out
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
        let mut out = vec![0.0; tokens * half];
        for (both, out) in both.chunks(spec.rows).zip(out.chunks_mut(half)) {
            let (gate, up) = both.split_at(half);
            activation::gated(activation, gate, up, out);
        }
        float(out, tokens, half)
    }

    fn rope_append(
        qkv: FlexTensor,
        rope_table: FlexTensor,
        norm_weights: FlexTensor,
        step: FlexTensor,
        k_cache: FlexTensor,
        v_cache: FlexTensor,
        rope: RopeSpec,
        spec: AttentionSpec,
        _tuning: Tuning,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let (mut k_cache, mut v_cache) = (k_cache, v_cache);
        let step = words_of(&step);
        let rotation = attention::Rotation { table: values(&rope_table), norm_weights: values(&norm_weights), rope, spec };
        let caches = (k_cache.storage_mut::<f32>(), v_cache.storage_mut::<f32>());
        let q = rotation.append(values(&qkv), step[0] as usize, caches);
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

    fn append_attention(
        qkv: FlexTensor,
        rope_table: FlexTensor,
        norm_weights: FlexTensor,
        step: FlexTensor,
        k_cache: FlexTensor,
        v_cache: FlexTensor,
        rope: RopeSpec,
        spec: AttentionSpec,
        tuning: Tuning,
    ) -> (FlexTensor, FlexTensor, FlexTensor, FlexTensor) {
        let (q, k_cache, v_cache) =
            Self::rope_append(qkv, rope_table, norm_weights, step.clone(), k_cache, v_cache, rope, spec, tuning);
        let y = attention::attention(values(&q), values(&k_cache), values(&v_cache), words_of(&step)[0] as usize, spec);
        let tokens = y.len() / spec.q_width();
        (float(y, tokens, spec.q_width()), q, k_cache, v_cache)
    }

    fn copy_rows(x_rd: FlexTensor, copy: RowCopy) -> FlexTensor {
        let RowCopy { parts, start, count, capacity } = copy;
        let (x, d) = (values(&x_rd), width(&x_rd));
        let mut out = vec![0.0; parts * capacity * d]; // what stays zero is not written, where memory is zero anyway
        for (part, out) in x.chunks(x.len() / parts).zip(out.chunks_mut(capacity * d)) {
            out[..count * d].copy_from_slice(&part[start * d..(start + count) * d]);
        }
        float(out, parts * capacity, d)
    }
}
