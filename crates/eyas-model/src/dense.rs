//! A projection of a text's vector, as sentence-transformers has it behind the pooling (its module `Dense`).

use burn::{module::Module, tensor::Tensor};
use eyas_core::{Error, Result, WeightKind};
use eyas_kernels::{Activation, KernelDevice, MatrixSpec, Tuning, Uploads, activate};
use eyas_weights::{Checkpoint, Format, TensorInfo};
use serde_json::Value;

use crate::{
    LoadPlan,
    config_hf::{flag, required},
    encoder_gguf::GEMMA_EMBEDDING,
    layout::{expect_shape, missing},
    linear::Linear,
    loader::{MatrixReader, floats},
    matrix_builder::{MatrixBuilder, Part},
};

/// What a module's own file calls its tensors, and what llama.cpp's converter calls those of EmbeddingGemma's, in their order.
const OWN_FILE: &str = "linear";
const GGUF: [&str; 2] = ["dense_2", "dense_3"];

/// Nothing that runs in a browser comes near this.
const LARGEST_WIDTH: usize = 1 << 16;

/// The shape of such a projection: its `config.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DenseConfig {
    /// Width of what it reads.
    pub in_features: usize,
    /// Width of what it makes.
    pub out_features: usize,
    /// Whether a bias is added.
    pub has_bias: bool,
    /// What is applied to the sum, where that is more than nothing.
    pub activation: Option<Activation>,
    /// What its tensors' names begin with, before `.weight` and `.bias`.
    pub tensor: &'static str,
}

impl DenseConfig {
    /// Reads `config.json` of a module. Fails with `unsupported-model` for an activation or a key that is not known, and with `bad-model` where a key
    /// is missing or of the wrong type.
    pub fn from_json(config: &Value) -> Result<Self> {
        for (key, value) in config.as_object().into_iter().flatten() {
            let is_known = match key.as_str() {
                "in_features" | "out_features" | "bias" | "activation_function" => true,
                "module_input_name" | "module_output_name" => value.is_null() || *value == "sentence_embedding",
                _ => value.is_null() || *value == false,
            };
            if !is_known {
                return Err(Error::unsupported(format!("{key:?} ({value}) of a Dense module is not supported")));
            }
        }
        let width = |key| match required(config, key)? {
            size if (1..=LARGEST_WIDTH).contains(&size) => Ok(size),
            size => Err(Error::bad_model(format!("{key} must be between 1 and {LARGEST_WIDTH}, found {size}"))),
        };
        let name = config["activation_function"].as_str().unwrap_or("torch.nn.modules.activation.Tanh");
        let activation = match name.strip_prefix("torch.nn.modules.").unwrap_or(name) {
            "linear.Identity" => None,
            "activation.Tanh" => Some(Activation::Tanh),
            "activation.ReLU" => Some(Activation::Relu),
            "activation.GELU" => Some(Activation::Gelu),
            "activation.SiLU" => Some(Activation::Silu),
            _ => {
                return Err(Error::unsupported(format!(
                    "the activation {name:?} of a Dense module is not supported; supported: Identity, Tanh, ReLU, GELU, SiLU of torch.nn"
                )));
            }
        };
        Ok(Self {
            in_features: width("in_features")?,
            out_features: width("out_features")?,
            has_bias: flag(config, "bias")?.unwrap_or(true),
            activation,
            tensor: OWN_FILE,
        })
    }

    /// The projections that a GGUF file of EmbeddingGemma holds beside the encoder, in their order: matrices without bias and activation. Empty for other
    /// architectures. Fails with `unsupported-model` where the file has none, since the model's vectors are made by them, and with `bad-model` where one does not read what
    /// stands before it (`width` values at first), or has other widths than the metadata say.
    pub fn of_gguf(checkpoint: &Checkpoint, width: usize) -> Result<Vec<Self>> {
        let Some(metadata) = checkpoint.gguf() else { return Ok(Vec::new()) };
        if metadata.get_str("general.architecture")? != Some(GEMMA_EMBEDDING) {
            return Ok(Vec::new());
        }
        let (mut found, mut width) = (Vec::new(), width);
        for tensor in GGUF {
            let name = format!("{tensor}.weight");
            let shape = checkpoint.tensor(&name).map(|info| info.shape.as_slice());
            for (key, axis) in [("feat_out", 0), ("feat_in", 1)] {
                let key = format!("{GEMMA_EMBEDDING}.{tensor}_{key}");
                let stated = metadata.get_u64(&key)?;
                let stored = shape.and_then(|shape| shape.get(axis)).map(|size| *size as u64);
                if stated.is_some_and(|stated| Some(stated) != stored) {
                    return Err(Error::bad_model(format!(
                        "GGUF: {key} is {}, but the tensor {name:?} has the shape {:?}",
                        stated.unwrap_or(0),
                        shape.unwrap_or(&[])
                    )));
                }
            }
            let Some(shape) = shape else { continue };
            let [out_features, in_features] = *shape else {
                return Err(Error::bad_model(format!("GGUF: {name:?} must be a matrix, found the shape {shape:?}")));
            };
            if in_features != width || !(1..=LARGEST_WIDTH).contains(&out_features) {
                return Err(Error::bad_model(format!(
                    "GGUF: {name:?} has the shape {shape:?}, but must read {width} values and make at most {LARGEST_WIDTH}"
                )));
            }
            width = out_features;
            found.push(Self { in_features, out_features, has_bias: false, activation: None, tensor });
        }
        if found.is_empty() {
            return Err(Error::unsupported(
                "GGUF: the file has no projections (dense_2, dense_3), which make EmbeddingGemma's vectors and which llama.cpp's converter leaves out \
                 unless it is given --sentence-transformers-dense-modules; use a file that has them, or the model's safetensors",
            ));
        }
        Ok(found)
    }

    /// The kind in which a projection's matrix is held: as it is stored, or as floats where that is in blocks.
    pub(crate) fn held_kind(weight: &TensorInfo) -> WeightKind {
        match weight.kind.natural() {
            kind if kind.is_quantized() => WeightKind::F32,
            kind => kind,
        }
    }

    /// Whether the tensor belongs to such a projection, and not to the encoder.
    pub(crate) fn owns(architecture: &str, tensor: &str) -> bool {
        architecture == GEMMA_EMBEDDING
            && tensor.rsplit_once('.').is_some_and(|(name, field)| field == "weight" && GGUF.contains(&name))
    }

    /// The matrix that the projection is on a device, held as `checkpoint` stores it. Fails as [`Dense::load`] does.
    pub fn planned_matrix(&self, checkpoint: &Checkpoint) -> Result<MatrixSpec> {
        Ok(self.builder(checkpoint)?.spec())
    }

    /// The matrix in the making, after checking names and shapes of the tensors.
    fn builder(&self, checkpoint: &Checkpoint) -> Result<MatrixBuilder> {
        let has_own_file = self.tensor == OWN_FILE;
        if has_own_file != (checkpoint.format() == Format::Safetensors) {
            return Err(Error::internal("a projection was looked for in another format than it is stored in"));
        }
        let known = [Some(self.weight()), self.has_bias.then(|| self.bias())];
        let strange = checkpoint.tensors().iter().find(|tensor| !known.iter().flatten().any(|name| *name == tensor.name));
        if let Some(tensor) = strange.filter(|_| has_own_file) {
            return Err(Error::bad_model(format!("the tensor {:?} has no place in a Dense module", tensor.name)));
        }
        let weight = find(checkpoint, &self.weight())?;
        expect_shape(weight, &[self.out_features, self.in_features])?;
        if self.has_bias {
            expect_shape(find(checkpoint, &self.bias())?, &[self.out_features])?;
        }
        let kind = Self::held_kind(weight);
        let parts = vec![Part { rows: self.out_features, ..Part::default() }];
        Ok(MatrixBuilder::new(kind, self.in_features, self.has_bias, parts))
    }

    fn weight(&self) -> String {
        format!("{}.weight", self.tensor)
    }

    fn bias(&self) -> String {
        format!("{}.bias", self.tensor)
    }
}

fn find<'a>(checkpoint: &'a Checkpoint, name: &str) -> Result<&'a TensorInfo> {
    checkpoint.tensor(name).ok_or_else(|| missing(name))
}

/// `act(x · Wᵀ + b)`, `[1, in]` to `[1, out]`.
#[derive(Module, Debug)]
pub(crate) struct Dense {
    linear: Linear,
    #[module(skip)]
    activation: Option<Activation>,
}

impl Dense {
    /// Reads and uploads it as it is stored: it is small, and its rounding would go right into the vector.
    pub(crate) async fn load(
        checkpoint: &Checkpoint,
        config: &DenseConfig,
        device: &KernelDevice,
        plan: &LoadPlan<'_>,
    ) -> Result<Self> {
        let mut builder = config.builder(checkpoint)?;
        let mut reader = MatrixReader { checkpoint, plan, uploads: Uploads::new(device) };
        reader.read(find(checkpoint, &config.weight())?, (&mut builder, 0), config.tensor, &|_| {}).await?;
        for part in builder.parts.iter_mut().filter(|_| config.has_bias) {
            part.bias = Some(floats(checkpoint, find(checkpoint, &config.bias())?).await?);
        }
        let linear = builder.finish(config.tensor, &mut reader.uploads).await?;
        reader.uploads.finish().await?;
        Ok(Self { linear, activation: config.activation })
    }

    pub(crate) fn forward(&self, x_1d: Tensor<2>, tuning: Tuning) -> Tensor<2> {
        let y = self.linear.forward(x_1d, tuning);
        match self.activation {
            None => y,
            Some(activation) => activate(y, activation),
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.linear.bytes()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_follow_sentence_transformers() {
        let plain = DenseConfig::from_json(&json!({"in_features": 3, "out_features": 5})).unwrap();
        assert_eq!(
            plain,
            DenseConfig { in_features: 3, out_features: 5, has_bias: true, activation: Some(Activation::Tanh), tensor: OWN_FILE }
        );
        let identity = json!({"in_features": 3, "out_features": 5, "bias": false, "activation_function": "torch.nn.modules.linear.Identity",
            "module_input_name": "sentence_embedding", "module_output_name": null, "use_residual": false});
        assert_eq!(DenseConfig::from_json(&identity).unwrap().activation, None);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let cases = [
            ("activation_function", json!("torch.nn.modules.activation.Mish"), "unsupported-model", "Mish"),
            ("module_input_name", json!("token_embeddings"), "unsupported-model", "token_embeddings"),
            ("use_residual", json!(true), "unsupported-model", "use_residual"),
            ("in_features", Value::Null, "bad-model", "in_features"),
            ("out_features", json!(0), "bad-model", "out_features"),
            ("bias", json!("yes"), "bad-model", "bias"),
        ];
        for (key, value, code, word) in cases {
            let mut config = json!({"in_features": 3, "out_features": 5});
            config[key] = value;
            let error = DenseConfig::from_json(&config).unwrap_err();
            assert!(error.code() == code && error.detail().contains(word), "{key}: {error}");
        }
    }
}
