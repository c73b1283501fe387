//! The tables of rotary cosines and sines that a decoder's layers read.

use std::{cell::RefCell, collections::BTreeMap};

use burn::tensor::Tensor;
use eyas_kernels::KernelDevice;

use crate::{DecoderConfig, Rope, rope::rope_table};

/// The tables of one cache, `[positions, rotary_dim]` each; see [`eyas_kernels::rope_append`].
#[derive(Debug, Clone)]
pub(crate) struct RopeTables {
    global: Tensor<2>,
    /// Absent where all layers use the global one.
    local: Option<Tensor<2>>,
}

impl RopeTables {
    /// Tables of an encoder's layers with the global and with the local frequencies, for `context` positions.
    pub(crate) fn of_encoder(ropes: &(Rope, Rope), dim: usize, context: usize, device: &KernelDevice) -> Self {
        let upload = |rope| device.floats(rope_table(rope, dim, context, false), [context, dim]);
        Self { global: upload(&ropes.0), local: Some(upload(&ropes.1)) }
    }

    /// The table of layers with local frequencies, or of all others.
    pub(crate) fn of(&self, is_local: bool) -> Tensor<2> {
        self.local.as_ref().filter(|_| is_local).unwrap_or(&self.global).clone()
    }
}

/// Tables that were made, each for the largest context asked for so far: of short sequences and of long ones.
#[derive(Debug, Default)]
pub(crate) struct RopeTableStore(RefCell<BTreeMap<bool, RopeTables>>);

impl RopeTableStore {
    /// Tables for at least `context` positions.
    pub(crate) fn get(&self, config: &DecoderConfig, device: &KernelDevice, context: usize, is_long: bool) -> RopeTables {
        let mut made = self.0.borrow_mut();
        if let Some(tables) = made.get(&is_long).filter(|tables| tables.global.dims()[0] >= context) {
            return tables.clone();
        }
        let dim = config.rotary_dim;
        let upload = |values: Vec<f32>| device.floats(values, [context, dim]);
        let global = upload(rope_table(&config.rope, dim, context, is_long));
        let local = config.local_rope.as_ref().map(|rope| upload(rope_table(rope, dim, context, is_long)));
        let tables = RopeTables { global, local };
        made.insert(is_long, tables.clone());
        tables
    }
}
