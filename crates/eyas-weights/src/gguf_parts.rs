//! GGUF models that are split into several files.
//!
//! Reference: `llama-gguf-split` of llama.cpp. A part is called `NAME-00002-of-00005.gguf`; the first one has the model's metadata, every
//! one has `split.no` (from 0) and `split.count`, and tensors of its own.

use std::rc::Rc;

use eyas_core::{Error, ErrorKind, Result};

use crate::{FileSet, GgufMetadata, ModelFiles, RangeReader};

/// Parts of a model at most.
const MAX_PARTS: usize = 1000;

/// The names of all parts of a model, in order, where `name` is that of one of them.
pub fn gguf_part_names(name: &str) -> Option<Vec<String>> {
    let (stem, extension) = name.split_at_checked(name.len().checked_sub(5)?)?;
    let (rest, count) = stem.rsplit_once("-of-")?;
    let (prefix, number) = rest.rsplit_once('-')?;
    let five = |digits: &str| -> Option<usize> {
        (digits.len() == 5 && digits.bytes().all(|digit| digit.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
    };
    let (number, count) = (five(number)?, five(count)?);
    let is_part = extension.eq_ignore_ascii_case(".gguf") && (1..=count).contains(&number) && count <= MAX_PARTS;
    is_part.then(|| (1..=count).map(|number| format!("{prefix}-{number:05}-of-{count:05}{extension}")).collect())
}

impl ModelFiles {
    /// The GGUF model of which `name` is a file of `folder`: with all other parts where it is split.
    ///
    /// Fails with `model-not-found` where the file or one of the parts does not exist.
    pub async fn open_gguf(folder: &dyn FileSet, name: &str) -> Result<Self> {
        let names = gguf_part_names(name).unwrap_or_else(|| vec![name.to_owned()]);
        let mut parts = Vec::with_capacity(names.len());
        for part in &names {
            parts.push(folder.open(part).await?.ok_or_else(|| {
                let others =
                    if names.len() > 1 { format!(", one of the {} parts of its model", names.len()) } else { String::new() };
                let detail = format!("expected the file {part}{others}, found none; check the address, and download all parts");
                Error::new(ErrorKind::ModelNotFound, detail)
            })?);
        }
        Ok(match <[Rc<dyn RangeReader>; 1]>::try_from(parts) {
            Ok([single]) => Self::Gguf(single),
            Err(parts) => Self::GgufParts(parts),
        })
    }
}

/// Fails with `bad-model` unless a file is part `index` of `count`; a file that is whole need not say so.
pub(crate) fn check_part(metadata: &GgufMetadata, index: usize, count: usize) -> Result<()> {
    let number = metadata.get_u64("split.no")?.unwrap_or(0);
    let of = metadata.get_u64("split.count")?.unwrap_or(0).max(1);
    if of != count as u64 {
        return Err(Error::bad_model(format!(
            "expected a GGUF model of {count} file(s), found part {} of {of}; give all parts, under their own names",
            number.saturating_add(1)
        )));
    }
    if number != index as u64 {
        return Err(Error::bad_model(format!(
            "expected part {} of {count}, found part {}; rename the parts as they were, or download them again",
            index + 1,
            number.saturating_add(1)
        )));
    }
    Ok(())
}

/// Fails with `bad-model` where the parts together have another number of tensors than the first one says.
pub(crate) fn check_tensor_count(metadata: &GgufMetadata, found: usize) -> Result<()> {
    match metadata.get_u64("split.tensors.count")? {
        Some(count) if count != found as u64 => Err(Error::bad_model(format!(
            "expected {count} tensors in all parts together, found {found}; download the parts again"
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_parts_are_told_from_others() {
        let names = gguf_part_names("a-1-00002-of-00003.gguf").unwrap();
        assert_eq!(names, ["a-1-00001-of-00003.gguf", "a-1-00002-of-00003.gguf", "a-1-00003-of-00003.gguf"]);
        assert_eq!(gguf_part_names("a-00001-of-00001.GGUF").unwrap(), ["a-00001-of-00001.GGUF"]);
        for other in [
            "a.gguf",
            "",
            "é.gguf",
            "a-00000-of-00002.gguf",
            "a-00003-of-00002.gguf",
            "a-0001-of-0002.gguf",
            "a-00001-of-99999.gguf",
            "a-00001-of-00002.bin",
            "a-+0001-of-00002.gguf",
            "a-00001-of-00002",
        ] {
            assert_eq!(gguf_part_names(other), None, "{other}");
        }
    }
}
