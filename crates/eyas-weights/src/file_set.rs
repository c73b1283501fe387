//! Where a model's files are: a folder on disk, a base URL, files dropped onto a page.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    rc::Rc,
};

use eyas_core::{Error, ErrorKind, Result};

use crate::{FileReader, LocalFuture, MemoryReader, RangeReader};

/// A set of named files.
pub trait FileSet {
    /// What the set is called in messages: a path, a URL, a repository's name.
    fn label(&self) -> &str;

    /// Opens a file by its name; `None` where it does not exist. Fails with `bad-model` where the name is not one of a plain file
    /// ([`check_file_name`]): names come out of model files.
    fn open<'a>(&'a self, name: &'a str) -> LocalFuture<'a, Result<Option<Rc<dyn RangeReader>>>>;
}

/// The files of a model.
#[derive(Clone)]
pub enum ModelFiles {
    /// A folder as Hugging Face lays it out: configuration, tokenizer, one or more safetensors files.
    Folder(Rc<dyn FileSet>),
    /// A single GGUF file, which holds everything.
    Gguf(Rc<dyn RangeReader>),
    /// All files of a split GGUF model, in order; [`ModelFiles::open_gguf`] finds them.
    GgufParts(Vec<Rc<dyn RangeReader>>),
}

impl fmt::Debug for ModelFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(files) => f.debug_tuple("Folder").field(&files.label()).finish(),
            Self::Gguf(reader) => f.debug_tuple("Gguf").field(&reader.name()).finish(),
            Self::GgufParts(parts) => f.debug_list().entries(parts.iter().map(|part| part.name())).finish(),
        }
    }
}

/// Files that are in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryFiles {
    label: String,
    files: BTreeMap<String, MemoryReader>,
}

impl MemoryFiles {
    /// Files by name; of two with the same name the last one counts.
    pub fn new(files: Vec<(String, Vec<u8>)>) -> Self {
        let mut by_name = BTreeMap::new();
        by_name.extend(files.into_iter().map(|(name, bytes)| (name.clone(), MemoryReader::new(name, bytes))));
        Self { label: "files in memory".to_owned(), files: by_name }
    }

    /// The same files under another label.
    #[must_use]
    pub fn with_label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }
}

impl From<Vec<(String, Vec<u8>)>> for MemoryFiles {
    fn from(files: Vec<(String, Vec<u8>)>) -> Self {
        Self::new(files)
    }
}

impl From<MemoryFiles> for Rc<dyn FileSet> {
    fn from(files: MemoryFiles) -> Self {
        Rc::new(files)
    }
}

impl FileSet for MemoryFiles {
    fn label(&self) -> &str {
        &self.label
    }

    fn open<'a>(&'a self, name: &'a str) -> LocalFuture<'a, Result<Option<Rc<dyn RangeReader>>>> {
        Box::pin(async move {
            check_file_name(name)?;
            Ok(self.files.get(name).map(|file| Rc::new(file.clone()) as Rc<dyn RangeReader>))
        })
    }
}

/// The files of a folder on disk, without those of its subfolders (but with those of [`check_file_name`]).
#[derive(Debug, Clone)]
pub struct DirectoryFiles {
    label: String,
    path: PathBuf,
}

impl DirectoryFiles {
    /// The folder at `path`; fails with `model-not-found` where there is none.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if !path.is_dir() {
            let detail = format!("{}: expected a folder with a model, found none; check the path", path.display());
            return Err(Error::new(ErrorKind::ModelNotFound, detail));
        }
        Ok(Self { label: path.display().to_string(), path: path.to_owned() })
    }
}

impl From<DirectoryFiles> for Rc<dyn FileSet> {
    fn from(files: DirectoryFiles) -> Self {
        Rc::new(files)
    }
}

impl FileSet for DirectoryFiles {
    fn label(&self) -> &str {
        &self.label
    }

    fn open<'a>(&'a self, name: &'a str) -> LocalFuture<'a, Result<Option<Rc<dyn RangeReader>>>> {
        Box::pin(async move {
            check_file_name(name)?;
            let path = self.path.join(name);
            if !path.exists() {
                return Ok(None);
            }
            Ok(Some(Rc::new(FileReader::open(path)?) as Rc<dyn RangeReader>))
        })
    }
}

/// Lies in a folder of its own: how sentence-transformers says that states of tokens become a vector.
pub const POOLING_FILE: &str = "1_Pooling/config.json";

/// Fails with `bad-model` unless `name` is that of a plain file (1 to 255 bytes, no `/`, `\`, `:`, `..` or control character), [`POOLING_FILE`], or
/// `config.json` or `model.safetensors` of a projection behind it (`2_Dense` to `9_Dense`).
pub fn check_file_name(name: &str) -> Result<()> {
    let in_dense =
        name.get(..1).filter(|number| matches!(number.as_bytes(), [b'2'..=b'9'])).and_then(|_| name[1..].strip_prefix("_Dense/"));
    if name == POOLING_FILE || matches!(in_dense, Some("config.json" | "model.safetensors")) {
        return Ok(());
    }
    let forbidden = |c: char| matches!(c, '/' | '\\' | ':') || c.is_control();
    if name.is_empty() || name.len() > 255 || name == "." || name.contains("..") || name.contains(forbidden) {
        let shown: String = name.chars().take(80).collect();
        return Err(Error::bad_model(format!(
            "expected the name of a file in the model's folder, without a path, found {shown:?}; correct the file that names it"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use pollster::block_on;

    use super::*;

    #[test]
    fn names_can_not_leave_the_folder() {
        for name in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "a\\b",
            "/etc/x",
            "c:x",
            "a\0b",
            "x..",
            "2_Dense/x",
            "1_Dense/config.json",
            "2_Dense/../config.json",
            &"x".repeat(256),
        ] {
            assert_eq!(check_file_name(name).unwrap_err().code(), "bad-model", "{name:?}");
            let files = DirectoryFiles::open(std::env::temp_dir()).unwrap();
            assert!(block_on(files.open(name)).is_err());
            assert!(block_on(MemoryFiles::default().open(name)).is_err());
        }
        for name in ["model-00001-of-00002.safetensors", POOLING_FILE, "2_Dense/config.json", "9_Dense/model.safetensors"] {
            assert!(check_file_name(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn an_absent_file_is_none() {
        let files: Rc<dyn FileSet> = MemoryFiles::from(vec![("a".to_owned(), vec![7])]).into();
        assert!(block_on(files.open("b")).unwrap().is_none());
        assert_eq!(block_on(files.open("a")).unwrap().unwrap().size(), 1);
        let folder = DirectoryFiles::open(std::env::temp_dir()).unwrap();
        assert!(block_on(folder.open("eyas-no-such-file")).unwrap().is_none());
        assert_eq!(DirectoryFiles::open("eyas-no-such-folder").unwrap_err().code(), "model-not-found");
    }
}
