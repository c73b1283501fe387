//! A newer version of a stored model, tried and put in the place of the one that loads use.

use std::rc::Rc;

use eyas_core::{Error, ErrorKind, LoadOptions, Result};
use eyas_engine::{ExpectedTokens, try_answer};
use js_sys::Function;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

use crate::{
    cancel_handle::{Cancel, CancelHandle},
    engine::{Model, TuningChoice, WasmEngine},
    js_error::js_error,
    js_value,
    opening::{Opening, StoreOptions},
    store_host::StoreHost,
};

/// Loads the newer version that was fetched, lets it answer, and puts it in the place of the current one, which is kept until the new one has answered
/// the application. Where it fails by its own fault it goes. Returns its name.
#[wasm_bindgen(js_name = "tryNewer")]
pub async fn try_newer(
    source: JsValue,
    options: JsValue,
    #[wasm_bindgen(js_name = "onProgress")] on_progress: Function,
    cancel: &CancelHandle,
    host: StoreHost,
    storing: JsValue,
) -> std::result::Result<Option<String>, JsValue> {
    let cancel = cancel.share();
    let tried = async {
        let options: LoadOptions = js_value::read(&options, "load options")?;
        let storing: StoreOptions = js_value::read(&storing, "store options")?;
        let opening = Rc::new(Opening::candidate(host, storing, &cancel).await?);
        let tried = answer(&source, &options, &on_progress, &opening, &cancel).await;
        opening.conclude(tried).await.0?;
        let version = opening.model.version();
        opening.model.promote().await?;
        Ok(version)
    };
    tried.await.map_err(|error: Error| js_error(&error))
}

async fn answer(
    source: &JsValue,
    options: &LoadOptions,
    on_progress: &Function,
    opening: &Rc<Opening>,
    cancel: &Cancel,
) -> Result<()> {
    let (model, _device) =
        WasmEngine::read(source, options, &mut TuningChoice::of_trial(options), on_progress, opening, cancel).await?;
    let answered = match &model {
        Model::Decoder(engine) => {
            let manifest = opening.model.manifest();
            let expected = manifest.as_ref().and_then(|manifest| manifest.expected(engine.info().quantize.name()));
            try_answer(engine, expected.map(|it| ExpectedTokens { prompt: &it.prompt, ids: &it.tokens })).await
        }
        Model::Encoder(engine) => engine.embed("The sun rises in the east.").await.map(|_| ()),
    };
    // The load's canary has shown that the device computes right.
    answered.map_err(|error| match error.kind() {
        ErrorKind::BadDevice => Error::bad_model(format!("the model loads, but does not answer: {}", error.detail())),
        _ => error,
    })
}
