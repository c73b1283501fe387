//! What a `config.json` says about weights in 8-bit floats.
//!
//! Keys: transformers' `FineGrainedFP8Config` and `FbgemmFp8Config`, and the `compressed-tensors` package's configuration.

use eyas_core::{Error, Result};
use serde_json::Value;

/// Weights in E4M3 with scales.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fp8Config {
    /// Rows and columns of the rectangles that share a scale; `None` where there is one scale, or one a row.
    pub block: Option<[usize; 2]>,
}

impl Fp8Config {
    /// Reads the `quantization_config` of a `config.json`; `None` where there is none. Fails with `unsupported-model`, naming it, for
    /// every other way of quantising.
    pub fn from_hf(config: &Value) -> Result<Option<Self>> {
        let quantization = &config["quantization_config"];
        if quantization.is_null() {
            return Ok(None);
        }
        let method = quantization["quant_method"].as_str().unwrap_or("none");
        let refuse = |what: &str| {
            Err(Error::unsupported(format!(
                "config.json: quantization_config ({method}{what}) is not supported; supported: 8-bit floats (fp8, fbgemm_fp8, \
                 compressed-tensors of the format float-quantized); use the unquantised weights and quantise while loading"
            )))
        };
        match method {
            "fp8" => match quantization["fmt"].as_str().unwrap_or("e4m3") {
                "e4m3" => Ok(Some(Self { block: block(&quantization["weight_block_size"])? })),
                other => refuse(&format!(", {other}")),
            },
            "fbgemm_fp8" => Ok(Some(Self { block: None })),
            "compressed-tensors" => {
                let format = quantization["format"].as_str().unwrap_or("none");
                let groups = quantization["config_groups"].as_object();
                let mut weights = groups.into_iter().flatten().map(|(_, group)| &group["weights"]);
                let (Some(first), None) = (weights.next(), weights.next()) else {
                    return refuse(", not one group");
                };
                if format != "float-quantized" || first["type"] != "float" || first["num_bits"] != 8 {
                    return refuse(&format!(", {format}"));
                }
                match first["strategy"].as_str() {
                    Some("tensor" | "channel") => Ok(Some(Self { block: None })),
                    Some("block") => Ok(Some(Self { block: block(&first["block_structure"])? })),
                    other => refuse(&format!(", strategy {other:?}")),
                }
            }
            _ => refuse(""),
        }
    }
}

fn block(value: &Value) -> Result<Option<[usize; 2]>> {
    if value.is_null() {
        return Ok(None);
    }
    let sizes: Vec<usize> = value
        .as_array()
        .map(|sizes| sizes.iter().filter_map(|size| usize::try_from(size.as_u64()?).ok()).filter(|&size| size > 0).collect())
        .unwrap_or_default();
    match sizes.as_slice() {
        &[rows, cols] => Ok(Some([rows, cols])),
        _ => Err(Error::bad_model(format!(
            "config.json: quantization_config has the block size {value}; expected two numbers above 0"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn declarations_are_read_and_others_refused() {
        let read = |quantization: Value| Fp8Config::from_hf(&json!({ "quantization_config": quantization }));
        assert_eq!(Fp8Config::from_hf(&json!({})).unwrap(), None);
        assert_eq!(
            read(json!({"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 64]})).unwrap(),
            Some(Fp8Config { block: Some([128, 64]) })
        );
        assert_eq!(read(json!({"quant_method": "fbgemm_fp8"})).unwrap(), Some(Fp8Config { block: None }));
        let compressed = |strategy: &str, bits: u32| {
            let weights = json!({"type": "float", "num_bits": bits, "strategy": strategy, "block_structure": [2, 3]});
            read(
                json!({"quant_method": "compressed-tensors", "format": "float-quantized", "config_groups": {"group_0": {"weights": weights}}}),
            )
        };
        assert_eq!(compressed("channel", 8).unwrap(), Some(Fp8Config { block: None }));
        assert_eq!(compressed("block", 8).unwrap(), Some(Fp8Config { block: Some([2, 3]) }));
        for error in [
            compressed("group", 8).unwrap_err(),
            compressed("channel", 4).unwrap_err(),
            read(json!({"quant_method": "gptq", "bits": 4})).unwrap_err(),
            read(json!({"quant_method": "fp8", "fmt": "e5m2"})).unwrap_err(),
            read(json!({"quant_method": "compressed-tensors"})).unwrap_err(),
        ] {
            assert!(error.code() == "unsupported-model" && error.detail().contains("quantization_config"), "{error}");
        }
        assert_eq!(read(json!({"quant_method": "fp8", "weight_block_size": [128, 0]})).unwrap_err().code(), "bad-model");
    }
}
