//! The engine as JavaScript sees it.

use std::rc::Rc;

use eyas_core::{Error, KeptTuning, LoadOptions, Progress, Result as EyasResult, TuningReport, TuningSource};
use eyas_engine::{EncoderEngine, Engine, EngineInfo, ModelKind, OpenedModel};
use eyas_kernels::KernelDevice;
use eyas_store::MANIFEST_NAME;
use eyas_tier::Calibration;
use js_sys::{Float32Array, Function, Object, Reflect};
use serde::Serialize;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

use crate::{
    cancel_handle::{Cancel, CancelHandle},
    clock::PerformanceClock,
    js_error::js_error,
    js_value,
    opening::{Opening, StorageReport, StoreOptions},
    progress_reports::ProgressReports,
    source::model_files,
    store_host::StoreHost,
};

/// A loaded model.
#[wasm_bindgen]
pub struct WasmEngine {
    model: Model,
    storage: StorageReport,
    /// What the manifest says of it.
    calibration: Option<Calibration>,
    device: DeviceOwner,
}

/// The manifest's calibration, if it has one that makes sense.
fn calibration(opening: &Opening) -> EyasResult<Option<Calibration>> {
    let Some(value) = opening.model.manifest().and_then(|manifest| manifest.calibration.clone()) else { return Ok(None) };
    let wrong = |what: String| Error::bad_model(format!("{MANIFEST_NAME}: its calibration can't be used: {what}"));
    let calibration: Calibration = serde_json::from_value(value).map_err(|error| wrong(error.to_string()))?;
    calibration.validate().map_err(|error| wrong(error.detail().to_owned()))?;
    Ok(Some(calibration))
}

pub(crate) enum Model {
    Decoder(Engine),
    Encoder(EncoderEngine),
}

#[wasm_bindgen]
impl WasmEngine {
    /// Loads a model on this module's device. `source` as in `source.rs`, `options` as `eyas_core::LoadOptions`, `storing` as `StoreOptions` in
    /// `opening.rs`; `on_progress` gets `MeteredProgress` from `progress_reports.rs`. `tuning` is what an earlier load measured on this adapter, as `keptTuning` gave it;
    /// without one that makes sense, and without one in the options, the adapter is measured.
    #[allow(clippy::too_many_arguments, reason = "what a page hands over, each by its name")]
    pub async fn load(
        source: JsValue,
        options: JsValue,
        #[wasm_bindgen(js_name = "onProgress")] on_progress: Function,
        cancel: &CancelHandle,
        host: StoreHost,
        storing: JsValue,
        tuning: Option<String>,
    ) -> Result<WasmEngine, JsValue> {
        let cancel = cancel.share();
        let load = async {
            let options: LoadOptions = js_value::read(&options, "load options")?;
            let mut storing: StoreOptions = js_value::read(&storing, "store options")?;
            options.validate()?;
            let mut choice = TuningChoice::of(&options, tuning.as_deref());
            let mut rolled_back = None;
            loop {
                let opening = Rc::new(Opening::new(host.clone(), storing.clone(), &cancel).await?);
                rolled_back = opening.model.begin_try().await?.or(rolled_back);
                let (loaded, went_back) =
                    opening.conclude(Self::read(&source, &options, &mut choice, &on_progress, &opening, &cancel).await).await;
                match loaded {
                    Err(error) if went_back => rolled_back = Some(error.to_string()),
                    Err(error) => storing = storing.without_room(&error).ok_or(error)?,
                    loaded => {
                        let (model, device) = loaded?;
                        let storage = opening.report().rolled_back(rolled_back);
                        return Ok(Self { model, storage, calibration: calibration(&opening)?, device });
                    }
                }
            }
        };
        load.await.map_err(|error: Error| js_error(&error))
    }

    /// `LoadedInfo` as an object; bytes are those of now.
    pub fn info(&self) -> Result<JsValue, JsValue> {
        let engine = match &self.model {
            Model::Decoder(engine) => engine.info(),
            Model::Encoder(engine) => engine.info(),
        };
        js_value::write(&LoadedInfo { engine, storage: &self.storage })
    }

    /// What this load measured on its adapter, for later ones; absent where it measured nothing.
    #[wasm_bindgen(js_name = "keptTuning")]
    pub fn kept_tuning(&self) -> Option<String> {
        self.device.measured.filter(|_| cfg!(feature = "gpu")).map(|measured| measured.to_text())
    }

    /// Logits at every position of `ids`, row-major `[ids, vocab]`, so that anyone can compare with a reference.
    pub async fn logits(&self, ids: Vec<u32>) -> Result<Vec<f32>, JsValue> {
        let engine = self.decoder().map_err(|error| js_error(&error))?;
        engine.logits(&ids).await.map_err(|error| js_error(&error))
    }

    /// `eyas_engine::Embedding` of a text behind the prompt of such a name, or the default one, as an object; `unsupported-model` where the model is no
    /// encoder.
    pub async fn embed(&self, text: String, prompt: Option<String>) -> Result<JsValue, JsValue> {
        let engine = self.encoder().map_err(|error| js_error(&error))?;
        let embedding = engine.embed_prompted(&text, prompt.as_deref()).await.map_err(|error| js_error(&error))?;
        let object = Object::new();
        let fields = [
            ("vector", Float32Array::from(embedding.vector.as_slice()).into()),
            ("tokens", JsValue::from(embedding.tokens as u32)),
            ("truncatedTokens", JsValue::from(embedding.truncated_tokens as u32)),
        ];
        for (key, value) in fields {
            Reflect::set(&object, &JsValue::from_str(key), &value)?;
        }
        Ok(object.into())
    }

    /// `eyas_engine::LabelScore`s of a text, or of two as one sequence, as objects, the best first; `unsupported-model` where the model has no
    /// classification head, or no form for pairs.
    pub async fn classify(&self, text: String, second: Option<String>) -> Result<JsValue, JsValue> {
        let engine = self.encoder().map_err(|error| js_error(&error))?;
        let scores = match second {
            None => engine.classify(&text).await,
            Some(second) => engine.classify_pair(&text, &second).await,
        };
        js_value::write(&scores.map_err(|error| js_error(&error))?)
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
    pub(crate) async fn read(
        source: &JsValue,
        options: &LoadOptions,
        choice: &mut TuningChoice,
        on_progress: &Function,
        opening: &Rc<Opening>,
        cancel: &Cancel,
    ) -> EyasResult<(Model, DeviceOwner)> {
        let meter = opening.model.meter().clone();
        let reports = ProgressReports::new(on_progress);
        let progress = |progress: Progress| reports.tell(progress, &meter);
        opening.model.read_manifest().await?;
        calibration(opening)?; // what is wrong with it is said before anything else is read
        let device = open_device(choice, options.relaxed_simd).await?;
        cancel.token.check()?;
        let files = model_files(source, opening).await?;
        let kernels = device.device.clone();
        let (opened, kind) = OpenedModel::open(files).await?;
        let model = match kind {
            ModelKind::Encoder => {
                Model::Encoder(EncoderEngine::load(opened, kernels, options.clone(), &progress, &cancel.token).await?)
            }
            ModelKind::Decoder => {
                let clock = Rc::new(PerformanceClock::new());
                Model::Decoder(Engine::load(opened, kernels, options.clone(), clock, &progress, &cancel.token).await?)
            }
        };
        Ok((model, device))
    }

    /// What the model's manifest says of how certain its answers are.
    pub(crate) fn calibration(&self) -> Option<&Calibration> {
        self.calibration.as_ref()
    }

    /// The model, where it writes texts.
    pub(crate) fn decoder(&self) -> EyasResult<Engine> {
        match &self.model {
            Model::Decoder(engine) => Ok(engine.clone()),
            Model::Encoder(engine) => Err(Error::unsupported(format!(
                "{} is an encoder, which embeds and classifies texts, but writes none; use embed() or classify()",
                engine.info().model
            ))),
        }
    }

    fn encoder(&self) -> EyasResult<EncoderEngine> {
        match &self.model {
            Model::Encoder(engine) => Ok(engine.clone()),
            Model::Decoder(engine) => Err(Error::unsupported(format!(
                "{} is a decoder, which writes texts; to embed or classify texts, load an encoder",
                engine.info().model
            ))),
        }
    }
}

/// Gives the device's memory back when it goes, without waiting for garbage collection.
pub(crate) struct DeviceOwner {
    device: KernelDevice,
    /// What this load measured on it.
    measured: Option<KeptTuning>,
}

#[cfg(feature = "parity")]
impl DeviceOwner {
    pub(crate) fn device(&self) -> &KernelDevice {
        &self.device
    }
}

/// The workgroup sizes of a device.
#[derive(Clone, Copy)]
pub(crate) enum TuningChoice {
    /// These.
    Fixed(TuningReport),
    /// The fastest on its adapter, of which a few loads may have found this, but not clearly.
    Sought(Option<KeptTuning>),
    /// What this load has measured.
    Measured(KeptTuning),
    /// What may be assumed of its adapter.
    Assumed,
}

impl TuningChoice {
    /// What the options ask for, else what is known, else what will be measured.
    fn of(options: &LoadOptions, known: Option<&str>) -> Self {
        let known = known.filter(|_| cfg!(feature = "gpu")).and_then(KeptTuning::from_text); // what makes no sense is measured anew
        match (options.tuning, known) {
            (Some(sizes), _) => Self::Fixed(TuningReport { sizes, source: TuningSource::Given }),
            (None, Some(known)) if known.is_settled() => {
                Self::Fixed(TuningReport { sizes: known.sizes, source: TuningSource::Stored })
            }
            (None, known) => Self::Sought(known),
        }
    }

    /// For a trial of a model, whose speed does not matter and would be measured beside an answer.
    pub(crate) fn of_trial(options: &LoadOptions) -> Self {
        let given = |sizes| Self::Fixed(TuningReport { sizes, source: TuningSource::Given });
        options.tuning.map_or(Self::Assumed, given)
    }
}

/// Opens this module's device. What was measured becomes the choice for another device of the same load.
pub(crate) async fn open_device(choice: &mut TuningChoice, relaxed_simd: bool) -> eyas_core::Result<DeviceOwner> {
    let mut owner = DeviceOwner { device: device(relaxed_simd).await?, measured: None };
    let device = owner.device.clone();
    owner.device = match *choice {
        TuningChoice::Fixed(TuningReport { sizes, source }) => device.with_tuning(sizes, source),
        TuningChoice::Sought(known) if cfg!(feature = "gpu") => {
            let clock = PerformanceClock::new();
            let device = known.map_or(device.clone(), |known| device.with_tuning(known.sizes, TuningSource::Stored));
            let (device, is_clear) = device.calibrated(&|| eyas_engine::Clock::now_ms(&clock)).await?;
            *choice = TuningChoice::Measured(KeptTuning::measured(known, device.tuning(), is_clear));
            device
        }
        TuningChoice::Measured(KeptTuning { sizes, .. }) => device.with_tuning(sizes, TuningSource::Measured),
        TuningChoice::Sought(_) | TuningChoice::Assumed => device,
    };
    if let TuningChoice::Measured(measured) = *choice {
        owner.measured = Some(measured);
    }
    Ok(owner)
}

impl Drop for DeviceOwner {
    fn drop(&mut self) {
        #[cfg(feature = "gpu")]
        if let Some(context) = self.device.gpu_context() {
            context.device.destroy();
        }
    }
}

#[cfg(feature = "gpu")]
async fn device(_relaxed_simd: bool) -> eyas_core::Result<KernelDevice> {
    KernelDevice::gpu().await
}

#[cfg(all(feature = "cpu", not(feature = "gpu")))]
#[allow(clippy::unused_async, reason = "the GPU module's device needs the await")]
async fn device(relaxed_simd: bool) -> eyas_core::Result<KernelDevice> {
    crate::relaxed_simd::choose(relaxed_simd);
    Ok(KernelDevice::cpu())
}

#[cfg(not(any(feature = "cpu", feature = "gpu")))]
compile_error!("eyas-web is built with the feature \"gpu\" or \"cpu\"");
