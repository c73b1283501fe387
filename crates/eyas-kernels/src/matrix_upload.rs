//! A packed matrix on its way to a device, some rows at a time: on a GPU it is never whole in the host's memory, and on a CPU it is there once.

use burn::tensor::{Int, Tensor};

use crate::{KernelDevice, MatrixSpec};

/// A matrix of which rows arrive in any order, each once. Rows are as [`eyas_core::WeightKind`] says.
pub struct MatrixUpload {
    device: KernelDevice,
    spec: MatrixSpec,
    place: Place,
}

enum Place {
    /// What will be the weights.
    Host { words: Vec<u32>, scales: Vec<f32> },
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
        let (word, scale) = (first * self.spec.words_per_row(), first * self.spec.blocks_per_row());
        match &mut self.place {
            Place::Host { words: all_words, scales: all_scales } => {
                all_words[word..][..words.len()].copy_from_slice(&words);
                all_scales[scale..][..scales.len()].copy_from_slice(&scales);
            }
            #[cfg(feature = "gpu")]
            Place::Gpu(buffers) => {
                buffers.words.write(word, words);
                if let Some(buffer) = &mut buffers.scales {
                    buffer.write(scale, bytemuck::cast_vec(scales));
                }
            }
        }
    }

    /// Words `[rows, words_per_row]` and scales `[rows · blocks_per_row]` for the operations here, in the order that the device's kernels want.
    pub fn finish(self) -> (Tensor<2, Int>, Tensor<1>) {
        let shape = [self.spec.rows, self.spec.words_per_row()];
        match self.place {
            Place::Host { words, scales } => {
                #[cfg(feature = "cpu")]
                let (words, scales) = crate::cpu::row_groups::arranged(words, scales, self.spec);
                let count = scales.len();
                let scales = if count == 0 { self.device.unused() } else { self.device.floats(scales, [count]) };
                (self.device.words(words, shape), scales)
            }
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
        let (words, scales) = (spec.rows * spec.words_per_row(), spec.rows * spec.blocks_per_row());
        #[cfg(feature = "gpu")]
        if let Some(context) = device.gpu_context() {
            use burn::tensor::{DType, Shape};

            use crate::gpu::filled_buffer::FilledBuffer;
            let shape = Shape::new([spec.rows, spec.words_per_row()]);
            return Self::Gpu(Box::new(Buffers {
                words: FilledBuffer::new(context, shape, DType::U32),
                scales: (scales > 0).then(|| FilledBuffer::new(context, Shape::new([scales]), DType::F32)),
            }));
        }
        let _ = device;
        Self::Host { words: vec![0; words], scales: vec![0.0; scales] }
    }
}
