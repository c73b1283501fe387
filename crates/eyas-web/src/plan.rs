//! What a load would come to, before any weight is fetched.

use std::rc::Rc;

use eyas_core::{DeviceKind, LoadOptions, Quantize, Result};
use eyas_engine::{LoadNeed, ModelHeaders};
use eyas_tier::{Demotion, LoadSentinel, MemoryBudget, MemoryNeed, Variant, excesses, plan};
use serde::Serialize;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

use crate::{
    cancel_handle::CancelHandle,
    js_error::js_error,
    js_value,
    opening::{Opening, StoreOptions, store},
    source::model_files,
    store_host::StoreHost,
};

/// The least context that is worth proposing.
const LEAST_CONTEXT_TOKENS: usize = 64;

/// A plan with the bytes of each matrix.
#[derive(Serialize)]
struct DetailedPlan {
    #[serde(flatten)]
    plan: eyas_tier::MemoryPlan,
    matrices: Vec<(String, u64)>,
}

/// Plans a load of `source` with `options` (`eyas_core::LoadOptions`) on a `device` of that kind (`eyas_core::DeviceKind`) against `budget` (`eyas_tier::MemoryBudget`): reads headers only. `mark` is what the last
/// load has left of `eyas_tier::LoadSentinel`, if it never ended.
#[allow(clippy::too_many_arguments, reason = "JavaScript gives them one by one")]
#[wasm_bindgen(js_name = "planModel")]
pub async fn plan_model(
    source: JsValue,
    options: JsValue,
    device: JsValue,
    budget: JsValue,
    #[wasm_bindgen(js_name = "cloudAllowed")] cloud_allowed: bool,
    cancel: &CancelHandle,
    host: StoreHost,
    storing: JsValue,
    mark: Option<String>,
) -> std::result::Result<JsValue, JsValue> {
    let cancel = cancel.share();
    let planned = async {
        let options: LoadOptions = js_value::read(&options, "load options")?;
        let device: DeviceKind = js_value::read(&device, "device")?;
        let mut budget: MemoryBudget = js_value::read(&budget, "budget")?;
        let mut storing: StoreOptions = js_value::read(&storing, "store options")?;
        let kept = storing.id().ok().map(str::to_owned);
        let must_be_kept = storing.is_required();
        let (opening, headers) = loop {
            let opening = Rc::new(Opening::new(host.clone(), storing.clone(), &cancel).await?);
            match read_headers(&source, &opening).await {
                Ok(headers) => break (opening, headers),
                // Not even for what is read before the weights.
                Err(error) => storing = storing.without_room(&error).ok_or(error)?,
            }
        };
        let mut stored_bytes = 0;
        if let Some(id) = kept.filter(|_| opening.is_kept()) {
            let room = store(host, &cancel).room(&id).await?;
            stored_bytes = room.stored_bytes;
            // A model that finds no room is loaded all the same, unless it must be kept.
            budget.storage_bytes = room.free_bytes.filter(|_| must_be_kept);
        }
        let variant = |options: &LoadOptions| variant(&headers, options, device, &budget, stored_bytes);
        let (need, mut asked) = variant(&options)?;
        let demotion = mark.and_then(|mark| LoadSentinel::forecast(&mark)).map(|error| Demotion::of(&asked.need, &error));
        if let Some(demotion) = &demotion {
            asked.excesses.extend(demotion.excess(&asked.need));
        }
        let mut others = Vec::new();
        if !asked.excesses.is_empty() {
            // Less context costs less quality than coarser weights.
            let mut context_tokens = need.context_tokens;
            while others.len() < 24 && context_tokens >= LEAST_CONTEXT_TOKENS {
                for quantize in [options.quantize, Quantize::Q8, Quantize::Q4] {
                    let options = LoadOptions { quantize, context_tokens: Some(context_tokens), ..options.clone() };
                    let mut other = variant(&options)?.1;
                    other.excesses.extend(demotion.as_ref().and_then(|demotion| demotion.excess(&other.need)));
                    others.push(other);
                }
                context_tokens /= 2;
            }
        }
        Ok(DetailedPlan { plan: plan(asked, others, demotion.as_ref(), cloud_allowed), matrices: need.matrices })
    };
    let planned: Result<DetailedPlan> = planned.await;
    js_value::write(&planned.map_err(|error| js_error(&error))?)
}

async fn read_headers(source: &JsValue, opening: &Rc<Opening>) -> Result<ModelHeaders> {
    if let Err(error) = opening.model.read_manifest().await {
        opening.model.fail(&error).await?; // nothing of a model that is refused stays
        return Err(error);
    }
    ModelHeaders::open(&model_files(source, opening).await?).await
}

fn variant(
    headers: &ModelHeaders,
    options: &LoadOptions,
    device: DeviceKind,
    budget: &MemoryBudget,
    stored_bytes: u64,
) -> Result<(LoadNeed, Variant)> {
    let load = headers.need(options, device)?;
    let need = MemoryNeed {
        weight_bytes: load.weight_bytes,
        cache_bytes: load.cache_bytes,
        scratch_bytes: load.scratch_bytes,
        staging_bytes: load.staging_bytes,
        largest_buffer_bytes: load.largest_buffer_bytes,
        download_bytes: load.download_bytes,
        stored_bytes: stored_bytes.min(load.download_bytes),
    };
    let quantize = match options.quantize {
        Quantize::Auto => "auto",
        Quantize::None => "none",
        Quantize::Q8 => "q8",
        Quantize::Q4 => "q4",
    };
    let excesses = excesses(&need, budget);
    let variant = Variant { quantize: quantize.into(), context_tokens: load.context_tokens, need, excesses };
    Ok((load, variant))
}
