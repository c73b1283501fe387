//! A packed matrix on its way to a device, some rows at a time: on a GPU it is never whole in the host's memory, and on a CPU it is there once.

use burn::tensor::{Int, Tensor};
use eyas_blocks::SourceKind;
use eyas_core::WeightKind;

use crate::{KernelDevice, MatrixSpec};

/// Whole rows of a matrix as a file stores them.
pub struct StoredRows<'a> {
    /// How they are stored.
    pub source: SourceKind,
    /// Row behind row.
    pub bytes: &'a [u8],
    /// The stored row that a row of the matrix is, both counted from the first of `bytes`; it must be one of them.
    pub order: &'a dyn Fn(usize) -> usize,
}

/// A matrix of which rows arrive in any order, each once: as [`WeightKind`] says ([`Self::write`]), or as a file stores them ([`Self::write_stored`]).
pub struct MatrixUpload {
    device: KernelDevice,
    spec: MatrixSpec,
    place: Place,
}

enum Place {
    /// What will be the weights.
    #[cfg(feature = "cpu")]
    Host(crate::cpu::grouped_rows::GroupedRows),
    /// A device without kernels in this build, of which there is none.
    #[cfg(not(feature = "cpu"))]
    Nowhere,
    #[cfg(feature = "gpu")]
    Gpu(Box<Buffers>),
}

#[cfg(feature = "gpu")]
struct Buffers {
    words: crate::gpu::filled_buffer::FilledBuffer,
    /// Absent where the kind has none.
    scales: Option<crate::gpu::filled_buffer::FilledBuffer>,
}

impl MatrixUpload {
    /// Allocates the matrix on its device.
    pub fn new(device: &KernelDevice, spec: MatrixSpec) -> Self {
        Self { device: device.clone(), spec, place: Place::new(device, spec) }
    }

    /// Sends whole rows from `first` on: `words` is `[rows, words_per_row]` and `scales` `[rows, blocks_per_row]`.
    pub fn write(&mut self, first: usize, words: Vec<u32>, scales: Vec<f32>) {
        match &mut self.place {
            #[cfg(feature = "cpu")]
            Place::Host(rows) => rows.write(first, &words, &scales),
            #[cfg(not(feature = "cpu"))]
            Place::Nowhere => {}
            #[cfg(feature = "gpu")]
            Place::Gpu(buffers) => {
                buffers.words.write(first * self.spec.words_per_row(), words);
                if let Some(buffer) = &mut buffers.scales {
                    buffer.write(first * self.spec.blocks_per_row(), bytemuck::cast_vec(scales));
                }
            }
        }
    }

    /// Whether [`Self::write_stored`] takes rows for a matrix of `kind` on `device`: to a CPU, blocks that are held bit by bit, in another order.
    pub fn takes_stored(device: &KernelDevice, source: SourceKind, kind: WeightKind) -> bool {
        let is_held = matches!((source, kind), (SourceKind::Q4_0, WeightKind::Q4) | (SourceKind::Q8_0, WeightKind::Q8));
        cfg!(feature = "cpu") && is_held && !device.is_gpu()
    }

    /// Sends whole rows from `first` on as they are stored. Answers `false` where they have to be packed and sent by [`Self::write`]: where
    /// [`Self::takes_stored`] does, where `bytes` are no whole rows, and where a scale is not finite.
    pub fn write_stored(&mut self, first: usize, rows: &StoredRows<'_>) -> bool {
        match &mut self.place {
            #[cfg(feature = "cpu")]
            Place::Host(matrix) => matrix.write_stored(first, rows),
            #[cfg(not(feature = "cpu"))]
            Place::Nowhere => {
                let _ = (first, rows);
                false
            }
            #[cfg(feature = "gpu")]
            Place::Gpu(_) => false,
        }
    }

    /// Words `[rows, words_per_row]` and scales `[rows · blocks_per_row]` for the operations here, in the order that the device's kernels want.
    pub fn finish(self) -> (Tensor<2, Int>, Tensor<1>) {
        let shape = [self.spec.rows, self.spec.words_per_row()];
        match self.place {
            #[cfg(feature = "cpu")]
            Place::Host(rows) => {
                let (words, scales) = rows.finish();
                let count = scales.len();
                let scales = if count == 0 { self.device.unused() } else { self.device.floats(scales, [count]) };
                (self.device.words(words, shape), scales)
            }
            #[cfg(not(feature = "cpu"))]
            Place::Nowhere => (self.device.words(Vec::new(), [0, shape[1]]), self.device.unused()),
            #[cfg(feature = "gpu")]
            Place::Gpu(buffers) => {
                let scales = match buffers.scales {
                    None => self.device.unused(),
                    Some(scales) => Tensor::from_primitive::<burn::backend::Cube>(scales.finish()),
                };
                (Tensor::from_primitive::<burn::backend::Cube>(buffers.words.finish()), scales)
            }
        }
    }
}

impl Place {
    fn new(device: &KernelDevice, spec: MatrixSpec) -> Self {
        #[cfg(feature = "gpu")]
        if let Some(context) = device.gpu_context() {
            use burn::tensor::{DType, Shape};

            use crate::gpu::filled_buffer::FilledBuffer;
            let shape = Shape::new([spec.rows, spec.words_per_row()]);
            let scales = spec.rows * spec.blocks_per_row();
            return Self::Gpu(Box::new(Buffers {
                words: FilledBuffer::new(context, shape, DType::U32),
                scales: (scales > 0).then(|| FilledBuffer::new(context, Shape::new([scales]), DType::F32)),
            }));
        }
        let _ = device;
        #[cfg(feature = "cpu")]
        return Self::Host(crate::cpu::grouped_rows::GroupedRows::new(spec));
        #[cfg(not(feature = "cpu"))]
        Self::Nowhere
    }
}
