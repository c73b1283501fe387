//! How tests load a model.

use std::{cell::Cell, path::Path, rc::Rc, time::Instant};

use eyas_core::{CancelToken, LoadOptions, Progress, Quantize, Result, Tuning, TuningSource};
use eyas_engine::{Clock, EncoderEngine, Engine};
use eyas_kernels::KernelDevice;
use eyas_weights::ModelFiles;

use crate::{folder_files, skip};

/// A load with everything but the model at its default: on the CPU, nothing quantised.
#[derive(Debug, Clone)]
pub struct Loading {
    /// Where.
    pub device: KernelDevice,
    /// How.
    pub options: LoadOptions,
    /// Whether the engine's clock is one that has gone on by 40 ms whenever it is looked at.
    pub is_at_even_pace: bool,
}

impl Default for Loading {
    fn default() -> Self {
        Self {
            device: cpu(),
            options: LoadOptions { quantize: Quantize::None, ..LoadOptions::default() },
            is_at_even_pace: false,
        }
    }
}

impl Loading {
    /// The same on another device.
    #[must_use]
    pub fn on(mut self, device: KernelDevice) -> Self {
        self.device = device;
        self
    }

    /// The same with other weights.
    #[must_use]
    pub fn quantized(mut self, quantize: Quantize) -> Self {
        self.options.quantize = quantize;
        self
    }

    /// The same with another chunk size.
    #[must_use]
    pub fn chunks_of(mut self, tokens: usize) -> Self {
        self.options.prefill_chunk_tokens = tokens;
        self
    }

    /// The same with another context.
    #[must_use]
    pub fn context(mut self, tokens: usize) -> Self {
        self.options.context_tokens = Some(tokens);
        self
    }

    /// The same with steps that seem to take 40 ms each, of one token and of several, whatever else the machine does.
    #[must_use]
    pub fn at_even_pace(mut self) -> Self {
        self.is_at_even_pace = true;
        self
    }

    /// Loads the model at a path.
    pub fn load(self, path: &Path) -> Engine {
        self.try_load(folder_files(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Loads a model that may be bad.
    pub fn try_load(self, files: ModelFiles) -> Result<Engine> {
        pollster::block_on(self.load_slowly(files, &CancelToken::new()))
    }

    /// Loads the encoder at a path.
    pub fn load_encoder(self, path: &Path) -> EncoderEngine {
        self.try_load_encoder(folder_files(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Loads an encoder that may be bad.
    pub fn try_load_encoder(self, files: ModelFiles) -> Result<EncoderEngine> {
        let silent = |_: Progress| {};
        pollster::block_on(EncoderEngine::load(files, self.device, self.options, &silent, &CancelToken::new()))
    }

    /// Loads a model as a future.
    pub async fn load_slowly(self, files: ModelFiles, cancel: &CancelToken) -> Result<Engine> {
        let start = Instant::now();
        let clock: Rc<dyn Clock> = if self.is_at_even_pace {
            let now_ms = Cell::new(0.0);
            Rc::new(move || now_ms.replace(now_ms.get() + 40.0))
        } else {
            Rc::new(move || start.elapsed().as_secs_f64() * 1000.0)
        };
        let silent = |_: Progress| {};
        Engine::load(files, self.device, self.options, clock, &silent, cancel).await
    }
}

/// The CPU.
pub fn cpu() -> KernelDevice {
    KernelDevice::cpu()
}

/// A device that cuts its kernels in the `turn`-th way that is worth a trial; a CPU has one way only.
pub fn cut_in_turn(device: &KernelDevice, turn: usize) -> KernelDevice {
    let variants = Tuning::variants();
    device.clone().with_tuning(variants[turn % variants.len()], TuningSource::Given)
}

/// A GPU, software or not; where there is none, the test that asks prints why it is skipped.
pub fn gpu() -> Option<KernelDevice> {
    match pollster::block_on(KernelDevice::gpu()) {
        Ok(device) => Some(device),
        Err(error) => {
            skip(&format!("no GPU: {error}"));
            None
        }
    }
}
