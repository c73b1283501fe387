//! Activations on the CPU.

use super::vector;
use crate::Activation;

/// See [`crate::activate`].
pub(super) fn activate(activation: Activation, values: &mut [f32]) {
    match activation {
        Activation::Gelu => vector::gelu(values),
        Activation::Silu => values.iter_mut().for_each(|x| *x /= 1.0 + (-*x).exp()),
        Activation::GeluTanh => {
            for x in values {
                *x *= 0.5 * (1.0 + (0.797_884_6 * (*x + 0.044_715 * *x * *x * *x)).tanh());
            }
        }
        Activation::Tanh => values.iter_mut().for_each(|x| *x = x.tanh()),
        Activation::Relu => values.iter_mut().for_each(|x| *x = x.max(0.0)),
    }
}

/// `out = act(gate) · up`.
pub(super) fn gated(activation: Activation, gate: &[f32], up: &[f32], out: &mut [f32]) {
    if activation == Activation::Silu {
        return vector::silu_product(gate, up, out);
    }
    out.copy_from_slice(gate);
    activate(activation, out);
    out.iter_mut().zip(up).for_each(|(out, up)| *out *= up);
}
