//! All tensors of a model, wherever its files are.

use std::{
    cell::Cell,
    collections::{HashMap, HashSet},
    fmt,
    ops::Range,
    rc::Rc,
};

use eyas_blocks::pack_scaled;
use eyas_core::{Error, ErrorKind, Result, WeightKind};

use crate::{
    FileSet, Fingerprint, GgufMetadata, ModelFiles, PackedRows, RangeReader, SourceKind, TensorInfo, gguf_header,
    gguf_parts::{check_part, check_tensor_count},
    range_reader::read_exactly,
    safetensors,
    shard_index::ShardIndex,
    tensor_layout::sort_for_reading,
    weight_scales::{WeightScales, name_of_scales, scales_activations},
};

const SINGLE_FILE: &str = "model.safetensors";
const INDEX_FILE: &str = "model.safetensors.index.json";

/// The format of a checkpoint's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// One or more safetensors files.
    Safetensors,
    /// One or more GGUF files.
    Gguf,
}

/// The tensors of a model: names, formats, shapes and places, with their bytes to be read on demand.
pub struct Checkpoint {
    format: Format,
    files: Vec<Rc<dyn RangeReader>>,
    tensors: Vec<TensorInfo>,
    by_name: HashMap<String, usize>,
    buffers: Vec<String>,
    /// Of matrices in 8-bit floats, once they are declared.
    scales: HashMap<String, WeightScales>,
    gguf: Option<GgufMetadata>,
    fingerprint: Cell<Fingerprint>,
}

impl Checkpoint {
    /// Reads the headers of a model's files, and no weights.
    ///
    /// A folder has `model.safetensors.index.json` and the files that it names, or else `model.safetensors`. Fails with
    /// `model-not-found` where a file is missing, `bad-model` where a file is malformed, and `unsupported-model` where it is well formed
    /// and holds something that is not in [`crate::SourceKind`].
    pub async fn open(files: &ModelFiles) -> Result<Self> {
        match files {
            ModelFiles::Gguf(reader) => Self::open_gguf(std::slice::from_ref(reader)).await,
            ModelFiles::GgufParts(parts) => Self::open_gguf(parts).await,
            ModelFiles::Folder(folder) => Self::open_folder(folder.as_ref()).await.map_err(|error| error.context(folder.label())),
        }
    }

    /// Reads the header of a single safetensors file, which is part of a model. Fails as [`Self::open`] does.
    pub async fn open_safetensors(file: Rc<dyn RangeReader>) -> Result<Self> {
        let header = safetensors::read_header(file.as_ref(), 0).await?;
        let mut checkpoint = Self::new(Format::Safetensors, vec![file], header.tensors)?;
        checkpoint.buffers = header.buffers;
        Ok(checkpoint)
    }

    async fn open_gguf(parts: &[Rc<dyn RangeReader>]) -> Result<Self> {
        let mut metadata = None;
        let mut tensors = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            let header = gguf_header::read_header(part.as_ref(), number).await?;
            check_part(&header.metadata, number, parts.len()).map_err(|error| error.context(part.name()))?;
            tensors.extend(header.tensors);
            metadata.get_or_insert(header.metadata);
        }
        let metadata = metadata.ok_or_else(|| Error::internal("a GGUF model without files was opened; please report this"))?;
        check_tensor_count(&metadata, tensors.len())?;
        let mut checkpoint = Self::new(Format::Gguf, parts.to_vec(), tensors)?;
        checkpoint.gguf = Some(metadata);
        Ok(checkpoint)
    }

    async fn open_folder(folder: &dyn FileSet) -> Result<Self> {
        let index = match folder.open(INDEX_FILE).await? {
            Some(reader) => Some(ShardIndex::read(reader.as_ref()).await?),
            None => None,
        };
        let mut files = Vec::new();
        if let Some(index) = &index {
            for name in &index.files {
                files.push(folder.open(name).await?.ok_or_else(|| {
                    let detail =
                        format!("expected the file {name}, which {INDEX_FILE} names, found none; download the whole model");
                    Error::new(ErrorKind::ModelNotFound, detail)
                })?);
            }
        } else {
            files.push(folder.open(SINGLE_FILE).await?.ok_or_else(|| {
                let detail = format!(
                    "expected the weights in {SINGLE_FILE} or in the files that {INDEX_FILE} names, found neither; check the model's \
                     name, and convert weights of another format to safetensors"
                );
                Error::new(ErrorKind::ModelNotFound, detail)
            })?);
        }
        let mut tensors = Vec::new();
        let mut buffers = Vec::new();
        for (number, file) in files.iter().enumerate() {
            let header = safetensors::read_header(file.as_ref(), number).await?;
            tensors.extend(header.tensors);
            buffers.extend(header.buffers);
        }
        let mut checkpoint = Self::new(Format::Safetensors, files, tensors)?;
        checkpoint.buffers = buffers;
        if let Some(index) = index {
            checkpoint.check_index(&index)?;
        }
        Ok(checkpoint)
    }

    fn new(format: Format, files: Vec<Rc<dyn RangeReader>>, mut tensors: Vec<TensorInfo>) -> Result<Self> {
        sort_for_reading(&mut tensors);
        let mut by_name = HashMap::with_capacity(tensors.len());
        for (position, tensor) in tensors.iter().enumerate() {
            let earlier: Option<usize> = by_name.insert(tensor.name.clone(), position);
            if let Some(earlier) = earlier.and_then(|earlier| tensors.get(earlier)) {
                let file_name = |file: usize| files.get(file).map_or("?", |file| file.name());
                return Err(Error::bad_model(format!(
                    "tensor {:?}: expected it once, found it in {} and in {}; download the model again",
                    tensor.name,
                    file_name(earlier.file),
                    file_name(tensor.file)
                )));
            }
        }
        Ok(Self {
            format,
            files,
            tensors,
            by_name,
            buffers: Vec::new(),
            scales: HashMap::new(),
            gguf: None,
            fingerprint: Cell::default(),
        })
    }

    /// Takes the scales of all matrices in 8-bit floats out of the list of tensors and applies them from now on; `block` is the rectangle
    /// of weights that shares a scale, or `None` where there is one scale a matrix, or one a row.
    ///
    /// Fails with `bad-model` where a matrix has no scales, or of another shape.
    pub async fn scale_8_bit_floats(&mut self, block: Option<[usize; 2]>) -> Result<()> {
        let mut used = HashSet::new();
        for matrix in self.tensors.iter().filter(|tensor| tensor.kind == SourceKind::F8E4M3) {
            let name = name_of_scales(matrix, &self.by_name)?;
            let Some(tensor) = self.tensor(&name) else { continue };
            let values = self.decode_rows(tensor, 0..tensor.rows()).await?;
            let scales = WeightScales::new(matrix, block, &tensor.shape, values)?;
            self.scales.insert(matrix.name.clone(), scales);
            used.insert(name);
        }
        self.tensors.retain(|tensor| !used.contains(&tensor.name) && !scales_activations(tensor));
        self.by_name = self.tensors.iter().enumerate().map(|(position, tensor)| (tensor.name.clone(), position)).collect();
        Ok(())
    }

    /// Checks that every tensor is in the file in which the index has it.
    fn check_index(&self, index: &ShardIndex) -> Result<()> {
        let buffers: HashSet<&str> = self.buffers.iter().map(String::as_str).collect();
        for (name, file) in &index.file_of {
            let found = self.tensor(name).and_then(|tensor| index.files.get(tensor.file));
            if found == Some(file) || (found.is_none() && buffers.contains(name.as_str())) {
                continue;
            }
            return Err(Error::bad_model(format!(
                "tensor {name:?}: expected it in {file}, where {INDEX_FILE} has it, found it in {}; download the model again",
                found.map_or("no file", String::as_str)
            )));
        }
        Ok(())
    }

    /// The format of the files.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Every tensor, in the order of its file and of its place there: reading them in this order is one sequential pass per file.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The tensor with this name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.by_name.get(name).and_then(|&position| self.tensors.get(position))
    }

    /// Names of what safetensors files hold beside weights: `I64` and `BOOL` buffers, such as position ids. They can't be read.
    pub fn buffers(&self) -> &[String] {
        &self.buffers
    }

    /// The metadata of a GGUF model: of a split one, that of its first part.
    pub fn gguf(&self) -> Option<&GgufMetadata> {
        self.gguf.as_ref()
    }

    /// The size of all files together.
    pub fn total_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size()).fold(0, u64::saturating_add)
    }

    /// Reads whole rows of one of this checkpoint's tensors as floats, `[rows, cols]` row-major, scaled where they have scales.
    pub async fn decode_rows(&self, tensor: &TensorInfo, rows: Range<usize>) -> Result<Vec<f32>> {
        let packed = self.pack_rows(tensor, rows, WeightKind::F32).await?;
        Ok(packed.words.into_iter().map(f32::from_bits).collect())
    }

    /// Reads whole rows of one of this checkpoint's tensors and packs them as [`Self::pack`] does.
    pub async fn pack_rows(&self, tensor: &TensorInfo, rows: Range<usize>, target: WeightKind) -> Result<PackedRows> {
        let first = rows.start;
        let bytes = self.read_rows(tensor, rows).await?;
        self.pack(tensor, first, &bytes, target)
    }

    /// Packs rows of one of this checkpoint's tensors, from `first` on, as [`crate::pack_rows`] does, scaled where they have scales.
    /// Fails with `unsupported-model` for 8-bit floats before [`Self::scale_8_bit_floats`].
    pub fn pack(&self, tensor: &TensorInfo, first: usize, bytes: &[u8], target: WeightKind) -> Result<PackedRows> {
        let scales = self.scales.get(&tensor.name);
        if tensor.kind == SourceKind::F8E4M3 && scales.is_none() {
            return Err(Error::unsupported(format!(
                "tensor {:?}: expected a declaration of how its 8-bit floats are scaled, found none; use the unquantised weights",
                tensor.name
            )));
        }
        let scale = |row: usize, weights: &mut [f32]| {
            if let Some(scales) = scales {
                scales.scale(first + row, weights);
            }
        };
        let rows = bytes.len() / tensor.row_bytes().max(1);
        pack_scaled(tensor.kind, bytes, rows, tensor.cols(), target, &scale)
            .map_err(|error| error.context(format_args!("tensor {:?}, rows from {first}", tensor.name)))
    }

    /// Reads the stored bytes of whole rows of one of this checkpoint's tensors.
    pub async fn read_rows(&self, tensor: &TensorInfo, rows: Range<usize>) -> Result<Vec<u8>> {
        let outside = || {
            Error::internal(format!(
                "rows {}..{} of the tensor {:?} were asked for, it has {} rows in file {} of {}; please report this",
                rows.start,
                rows.end,
                tensor.name,
                tensor.rows(),
                tensor.file,
                self.files.len()
            ))
        };
        let reader = self.files.get(tensor.file).ok_or_else(outside)?;
        if rows.start > rows.end || rows.end > tensor.rows() {
            return Err(outside());
        }
        let row_bytes = tensor.row_bytes();
        let length = (rows.end - rows.start).checked_mul(row_bytes).ok_or_else(outside)?;
        let skipped = (rows.start as u64).checked_mul(row_bytes as u64);
        let offset = skipped.and_then(|skipped| skipped.checked_add(tensor.offset)).ok_or_else(outside)?;
        if length == 0 {
            return Ok(Vec::new());
        }
        let bytes = read_exactly(reader.as_ref(), offset, length)
            .await
            .map_err(|error| error.context(format_args!("tensor {:?}", tensor.name)))?;
        let mut fingerprint = self.fingerprint.get();
        fingerprint.add(&tensor.name, rows.start, &bytes);
        self.fingerprint.set(fingerprint);
        Ok(bytes)
    }

    /// The fingerprint of all rows that were read so far.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint.get()
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.files.iter().map(|file| file.name()).collect();
        f.debug_struct("Checkpoint")
            .field("format", &self.format)
            .field("files", &names)
            .field("tensors", &self.tensors.len())
            .finish_non_exhaustive()
    }
}
