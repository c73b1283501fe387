//! What each family's GGUF metadata says besides what Llama's says.

use eyas_core::{Error, Result};
use eyas_kernels::{Activation, QkNorm};

use crate::{DecoderConfig, LayerKind, LayerRope, NormPlacement, Rope, config_gguf::Keys, family::Family};

const CAPS: [&str; 2] = ["attn_logit_softcapping", "final_logit_softcapping"];
/// Which layers have a window: it means nothing without one.
const PATTERN: &str = "attention.sliding_window_pattern";
const MULTIPLIERS: [&str; 4] = ["attention.scale", "embedding_scale", "residual_scale", "logit_scale"];

/// Turns what is read as Llama's into the family's own.
pub(crate) fn adapt(mut decoder: DecoderConfig, keys: &Keys, family: Family) -> Result<DecoderConfig> {
    refuse_what_others_have(keys, family)?;
    let epsilon_bits = decoder.norm_epsilon.to_bits();
    match family {
        Family::Llama | Family::Mistral | Family::Qwen2 => {}
        Family::Qwen3 => decoder.qk_norm = QkNorm::PerHead { epsilon_bits },
        // Files have no place for the list of layers without positions; it is every fourth, as in the published model.
        Family::SmolLm3 => decoder.layers.iter_mut().skip(3).step_by(4).for_each(|layer| layer.rope = LayerRope::None),
        Family::Gemma2 => {
            gemma(&mut decoder, keys, 46)?;
            decoder.attention_softcap = keys.float(CAPS[0])?.map(|cap| cap as f32);
            let window = keys.optional("attention.sliding_window")?.unwrap_or(4096);
            let has_window = keys.window_layers(decoder.layers.len(), 2, false)?;
            for (layer, has_window) in decoder.layers.iter_mut().zip(has_window) {
                layer.window = has_window.then_some(window);
            }
        }
        Family::Gemma3 => {
            decoder.qk_norm = QkNorm::PerHead { epsilon_bits };
            gemma(&mut decoder, keys, 62)?;
            if let Some(window) = keys.optional("attention.sliding_window")?.filter(|window| *window > 0) {
                let local = LayerKind { window: Some(window), rope: LayerRope::Local };
                let has_window = keys.window_layers(decoder.layers.len(), 6, false)?;
                for (layer, has_window) in decoder.layers.iter_mut().zip(has_window) {
                    *layer = if has_window { local } else { *layer };
                }
                decoder.local_rope = Some(Rope::plain(keys.float("rope.freq_base_swa")?.unwrap_or(10_000.0)));
            } else {
                keys.refuse(&[PATTERN])?;
            }
        }
        Family::Phi3 => {
            let window = keys.optional("attention.sliding_window")?.filter(|window| *window > 0);
            decoder.layers.iter_mut().for_each(|layer| layer.window = window);
        }
        Family::Olmo2 => {
            decoder.qk_norm = QkNorm::FullWidth { epsilon_bits };
            decoder.norm_placement = NormPlacement::Behind;
        }
        Family::Granite => {
            if keys.flag("rope.scaling.finetuned")? == Some(false) {
                return Err(Error::unsupported(
                    "GGUF: granite without position embedding is not supported (rope.scaling.finetuned)",
                ));
            }
            let factor = |key: &str, neutral: f32| Ok::<_, Error>(keys.float(key)?.map_or(neutral, |value| value as f32));
            decoder.attention_scale = factor("attention.scale", decoder.attention_scale)?;
            decoder.embedding_scale = factor("embedding_scale", 1.0)?;
            decoder.residual_multiplier = factor("residual_scale", 1.0)?;
            decoder.logit_divisor = factor("logit_scale", 1.0)?;
        }
    }
    Ok(decoder)
}

/// A key that only another family reads would change the computation unseen.
fn refuse_what_others_have(keys: &Keys, family: Family) -> Result<()> {
    if !matches!(family, Family::Gemma2 | Family::Gemma3) {
        keys.refuse(&CAPS)?;
        keys.refuse(&["rope.freq_base_swa"])?;
    }
    if family == Family::Gemma3 {
        keys.refuse(&CAPS[..1])?;
    }
    if family != Family::Granite {
        keys.refuse(&MULTIPLIERS)?;
    }
    if !matches!(family, Family::Gemma2 | Family::Gemma3) {
        keys.refuse(&[PATTERN])?;
    }
    if !matches!(family, Family::Gemma2 | Family::Gemma3 | Family::Phi3) {
        keys.refuse(&["attention.sliding_window"])?;
    }
    if family != Family::Phi3 {
        keys.refuse(&["rope.scaling.attn_factor"])?;
    }
    Ok(())
}

/// What Gemma 2 and 3 share. Files don't hold the scale of the scores: the largest model, known by its layers, has another one.
fn gemma(decoder: &mut DecoderConfig, keys: &Keys, layers_of_largest: usize) -> Result<()> {
    decoder.norm_placement = NormPlacement::Around;
    decoder.activation = Activation::GeluTanh;
    decoder.logit_softcap = keys.float(CAPS[1])?.filter(|cap| *cap > 0.0).map(|cap| cap as f32);
    if decoder.layers.len() == layers_of_largest && decoder.heads > 0 {
        decoder.attention_scale = (1.0 / ((decoder.hidden_size / decoder.heads) as f64).sqrt()) as f32;
    }
    Ok(())
}
