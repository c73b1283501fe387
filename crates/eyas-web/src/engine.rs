//! The engine as JavaScript sees it.

use std::rc::Rc;

use eyas_core::{Error, LoadOptions, Progress};
use eyas_engine::{Engine, EngineInfo};
use eyas_kernels::KernelDevice;
use js_sys::Function;
use serde::Serialize;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

use crate::{
    cancel_handle::{Cancel, CancelHandle},
    clock::PerformanceClock,
    js_error::js_error,
    js_value,
    opening::{MeteredProgress, Opening, StorageReport, StoreOptions},
    source::model_files,
    store_host::StoreHost,
};

/// A loaded model.
#[wasm_bindgen]
pub struct WasmEngine {
    engine: Engine,
    storage: StorageReport,
    _device: DeviceOwner,
}

#[wasm_bindgen]
impl WasmEngine {
    /// Loads a model on this module's device. `source` as in `source.rs`, `options` as `eyas_core::LoadOptions`, `storing` as `StoreOptions` in
    /// `opening.rs`; `on_progress` gets `MeteredProgress` from there.
    pub async fn load(
        source: JsValue,
        options: JsValue,
        #[wasm_bindgen(js_name = "onProgress")] on_progress: Function,
        cancel: &CancelHandle,
        host: StoreHost,
        storing: JsValue,
    ) -> Result<WasmEngine, JsValue> {
        let cancel = cancel.share();
        let load = async {
            let options: LoadOptions = js_value::read(&options, "load options")?;
            let storing: StoreOptions = js_value::read(&storing, "store options")?;
            loop {
                let opening = Rc::new(Opening::new(host.clone(), storing.clone(), &cancel).await?);
                let (loaded, went_back) =
                    opening.conclude(Self::read(&source, &options, &on_progress, &opening, &cancel).await).await;
                if !went_back {
                    let (engine, device) = loaded?;
                    return Ok(Self { engine, storage: opening.report(), _device: device });
                }
            }
        };
        load.await.map_err(|error: Error| js_error(&error))
    }

    /// `LoadedInfo` as an object; bytes are those of now.
    pub fn info(&self) -> Result<JsValue, JsValue> {
        js_value::write(&LoadedInfo { engine: self.engine.info(), storage: &self.storage })
    }

    /// Logits at every position of `ids`, row-major `[ids, vocab]`, so that anyone can compare with a reference.
    pub async fn logits(&self, ids: Vec<u32>) -> Result<Vec<f32>, JsValue> {
        let engine = self.engine.clone();
        engine.logits(&ids).await.map_err(|error| js_error(&error))
    }
}

/// `eyas_engine::EngineInfo`, and what became of the files.
#[derive(Serialize)]
struct LoadedInfo<'a> {
    #[serde(flatten)]
    engine: EngineInfo,
    storage: &'a StorageReport,
}

impl WasmEngine {
    async fn read(
        source: &JsValue,
        options: &LoadOptions,
        on_progress: &Function,
        opening: &Rc<Opening>,
        cancel: &Cancel,
    ) -> eyas_core::Result<(Engine, DeviceOwner)> {
        let meter = opening.model.meter().clone();
        let progress = |progress: Progress| {
            if let Ok(progress) = js_value::write(&MeteredProgress::new(progress, &meter)) {
                // An exception in the page's callback is the page's; the load goes on.
                let _ = on_progress.call1(&JsValue::UNDEFINED, &progress);
            }
        };
        let device = open_device().await?;
        cancel.token.check()?;
        let files = model_files(source, opening).await?;
        let clock = Rc::new(PerformanceClock::new());
        let engine = Engine::load(files, device.0.clone(), options.clone(), clock, &progress, &cancel.token).await?;
        Ok((engine, device))
    }

    pub(crate) fn share(&self) -> Engine {
        self.engine.clone()
    }
}

/// Gives the device's memory back when it goes, without waiting for garbage collection.
pub(crate) struct DeviceOwner(KernelDevice);

#[cfg(feature = "parity")]
impl DeviceOwner {
    pub(crate) fn device(&self) -> &KernelDevice {
        &self.0
    }
}

/// Opens this module's device.
pub(crate) async fn open_device() -> eyas_core::Result<DeviceOwner> {
    Ok(DeviceOwner(device().await?))
}

impl Drop for DeviceOwner {
    fn drop(&mut self) {
        #[cfg(feature = "gpu")]
        if let Some(context) = self.0.gpu_context() {
            context.device.destroy();
        }
    }
}

#[cfg(feature = "gpu")]
async fn device() -> eyas_core::Result<KernelDevice> {
    KernelDevice::gpu().await
}

#[cfg(all(feature = "cpu", not(feature = "gpu")))]
#[allow(clippy::unused_async, reason = "the GPU module's device needs the await")]
async fn device() -> eyas_core::Result<KernelDevice> {
    Ok(KernelDevice::cpu())
}

#[cfg(not(any(feature = "cpu", feature = "gpu")))]
compile_error!("eyas-web is built with the feature \"gpu\" or \"cpu\"");
