//! What each family's `config.json` says besides what Llama's says. Defaults: the configuration classes of transformers.

use eyas_core::{Error, Result};
use eyas_kernels::QkNorm;
use serde_json::Value;

use crate::{
    DecoderConfig, LayerKind, LayerRope, NormPlacement, Rope, RopeScaling,
    config_hf::{activation, flag, number, optional, rope},
    family::Family,
};

pub(crate) const fn default_head_dim(family: Family) -> Option<usize> {
    match family {
        Family::Qwen3 => Some(128),
        Family::Gemma2 | Family::Gemma3 => Some(256),
        _ => None,
    }
}

pub(crate) const fn default_norm_epsilon(family: Family) -> f64 {
    match family {
        Family::Phi3 | Family::Olmo2 => 1e-5,
        _ => 1e-6,
    }
}

pub(crate) const fn default_theta(family: Family) -> f64 {
    match family {
        Family::SmolLm3 => 2_000_000.0,
        Family::Gemma3 => 1_000_000.0,
        _ => 10_000.0,
    }
}

pub(crate) const fn is_tied_by_default(family: Family) -> bool {
    matches!(family, Family::SmolLm3 | Family::Gemma2 | Family::Gemma3)
}

/// Turns what is read as Llama's into the family's own.
pub(crate) fn adapt(mut decoder: DecoderConfig, config: &Value, family: Family) -> Result<DecoderConfig> {
    let epsilon_bits = decoder.norm_epsilon.to_bits();
    match family {
        Family::Llama => {}
        Family::Mistral => every_layer_in_a_window(&mut decoder, config)?,
        Family::Qwen2 => {
            (decoder.qkv_bias, decoder.output_bias) = (true, false);
            windows_behind_the_first(&mut decoder, config)?;
        }
        Family::Qwen3 => {
            decoder.qk_norm = QkNorm::PerHead { epsilon_bits };
            windows_behind_the_first(&mut decoder, config)?;
        }
        Family::SmolLm3 => smollm3(&mut decoder, config)?,
        Family::Gemma2 => {
            gemma(&mut decoder, config)?;
            let window = Some(optional(config, "sliding_window")?.unwrap_or(4096));
            windows_by_type(&mut decoder, config, window, |layer| layer % 2 == 0)?;
        }
        Family::Gemma3 => {
            decoder.qk_norm = QkNorm::PerHead { epsilon_bits };
            gemma(&mut decoder, config)?;
            gemma3(&mut decoder, config)?;
        }
        Family::Phi3 => phi3(&mut decoder, config)?,
        Family::Olmo2 => {
            decoder.qk_norm = QkNorm::FullWidth { epsilon_bits };
            decoder.norm_placement = NormPlacement::Behind;
        }
        Family::Granite => {
            let factor = |key: &str| Ok::<_, Error>(number(config, key)?.unwrap_or(1.0) as f32);
            decoder.embedding_scale = factor("embedding_multiplier")?;
            decoder.residual_multiplier = factor("residual_multiplier")?;
            decoder.attention_scale = factor("attention_multiplier")?;
            decoder.logit_divisor = factor("logits_scaling")?;
        }
    }
    Ok(decoder)
}

fn every_layer_in_a_window(decoder: &mut DecoderConfig, config: &Value) -> Result<()> {
    let window = optional(config, "sliding_window")?;
    decoder.layers.iter_mut().for_each(|layer| layer.window = window);
    Ok(())
}

/// Qwen: layers from `max_window_layers` on have a window, if `use_sliding_window` says so and `layer_types` says nothing else.
fn windows_behind_the_first(decoder: &mut DecoderConfig, config: &Value) -> Result<()> {
    let window = match flag(config, "use_sliding_window")? {
        Some(true) => Some(optional(config, "sliding_window")?.unwrap_or(4096)),
        _ => None,
    };
    let first = optional(config, "max_window_layers")?.unwrap_or(28);
    windows_by_type(decoder, config, window, |layer| layer >= first)
}

/// Windows as `layer_types` lists them, or as `has_window` says where it is absent.
fn windows_by_type(
    decoder: &mut DecoderConfig,
    config: &Value,
    window: Option<usize>,
    has_window: impl Fn(usize) -> bool,
) -> Result<()> {
    let types = match &config["layer_types"] {
        Value::Null => None,
        Value::Array(types) if types.len() == decoder.layers.len() => Some(types),
        other => {
            return Err(Error::bad_model(format!(
                "config.json: layer_types must list {} layers, found {other}",
                decoder.layers.len()
            )));
        }
    };
    for (index, layer) in decoder.layers.iter_mut().enumerate() {
        let is_sliding = match types.map(|types| types[index].as_str().unwrap_or_default()) {
            None => has_window(index),
            Some("sliding_attention") => true,
            Some("full_attention") => false,
            Some(other) => return Err(Error::unsupported(format!("config.json: layer type {other:?} is not supported"))),
        };
        layer.window = window.filter(|_| is_sliding);
    }
    Ok(())
}

/// `no_rope_layers` has a 1 for each layer with positions; where it is absent, every `no_rope_layer_interval`th has none. Windows are for those.
fn smollm3(decoder: &mut DecoderConfig, config: &Value) -> Result<()> {
    let interval = optional(config, "no_rope_layer_interval")?.unwrap_or(4).max(1);
    let listed = match &config["no_rope_layers"] {
        Value::Null => None,
        Value::Array(list) if list.len() >= decoder.layers.len() => Some(list),
        other => return Err(Error::bad_model(format!("config.json: no_rope_layers must list every layer, found {other}"))),
    };
    for (index, layer) in decoder.layers.iter_mut().enumerate() {
        let has_rope = match listed {
            Some(list) => list[index] != 0 && list[index] != false,
            None => !(index + 1).is_multiple_of(interval),
        };
        layer.rope = if has_rope { LayerRope::Global } else { LayerRope::None };
    }
    let window = match flag(config, "use_sliding_window")? {
        Some(true) => optional(config, "sliding_window")?,
        _ => None,
    };
    let ropes: Vec<LayerRope> = decoder.layers.iter().map(|layer| layer.rope).collect();
    windows_by_type(decoder, config, window, |layer| ropes[layer] == LayerRope::None)
}

/// What Gemma 2 and 3 share.
fn gemma(decoder: &mut DecoderConfig, config: &Value) -> Result<()> {
    decoder.norm_placement = NormPlacement::Around;
    decoder.activation = activation(config["hidden_activation"].as_str().unwrap_or("gelu_pytorch_tanh"))?;
    decoder.attention_scale = (1.0 / number(config, "query_pre_attn_scalar")?.unwrap_or(256.0).sqrt()) as f32;
    decoder.attention_softcap = number(config, "attn_logit_softcapping")?.map(|cap| cap as f32);
    decoder.logit_softcap = number(config, "final_logit_softcapping")?.map(|cap| cap as f32);
    Ok(())
}

/// Five of six layers have a window and the local frequencies, if `layer_types` says nothing else.
fn gemma3(decoder: &mut DecoderConfig, config: &Value) -> Result<()> {
    // The reference has the key, but does not bend these scores.
    decoder.attention_softcap = None;
    let pattern = ["sliding_window_pattern", "_sliding_window_pattern"];
    let pattern = pattern.iter().map(|key| optional(config, key)).collect::<Result<Vec<_>>>()?;
    let pattern = pattern.into_iter().flatten().next().unwrap_or(6).max(1);
    let window = optional(config, "sliding_window")?.unwrap_or(4096);
    windows_by_type(decoder, config, Some(window), |layer| !(layer + 1).is_multiple_of(pattern))?;
    for layer in &mut decoder.layers {
        *layer = LayerKind { rope: if layer.window.is_some() { LayerRope::Local } else { LayerRope::Global }, ..*layer };
    }
    let context = decoder.max_position_embeddings;
    let nested = &config["rope_parameters"];
    if nested["full_attention"].is_object() || nested["sliding_attention"].is_object() {
        decoder.rope = rope(config, &nested["full_attention"], context, default_theta(Family::Gemma3))?;
        decoder.local_rope = Some(rope(&Value::Null, &nested["sliding_attention"], context, 10_000.0)?);
    } else {
        decoder.local_rope = Some(Rope::plain(number(config, "rope_local_base_freq")?.unwrap_or(10_000.0)));
    }
    Ok(())
}

fn phi3(decoder: &mut DecoderConfig, config: &Value) -> Result<()> {
    every_layer_in_a_window(decoder, config)?;
    let mut rope =
        if config["rope_parameters"].is_object() { config["rope_parameters"].clone() } else { config["rope_scaling"].clone() };
    let partial = rope["partial_rotary_factor"].as_f64().or(number(config, "partial_rotary_factor")?).unwrap_or(1.0);
    decoder.rotary_dim = (decoder.head_dim as f64 * partial) as usize;
    if rope.is_object() {
        if !config["original_max_position_embeddings"].is_null() {
            rope["original_max_position_embeddings"] = config["original_max_position_embeddings"].clone();
        }
        // Older files call it so.
        let kind = rope["rope_type"].as_str().or(rope["type"].as_str()).unwrap_or("default");
        if kind == "su" || kind == "yarn" {
            rope["rope_type"] = "longrope".into();
        }
        decoder.rope.scaling = RopeScaling::from_hf(&rope, decoder.max_position_embeddings)?;
    }
    Ok(())
}
