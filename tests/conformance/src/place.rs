//! Where things are.

use std::{
    path::{Path, PathBuf},
    rc::Rc,
};

use eyas_weights::{DirectoryFiles, FileReader, ModelFiles};

/// The root of the repository, as cargo says when it runs a test: a clone may take over what another one built.
///
/// # Panics
/// Outside of cargo.
pub fn repository() -> PathBuf {
    #[allow(clippy::expect_used, reason = "for tests only")]
    let folder = std::env::var("CARGO_MANIFEST_DIR").expect("tests run by cargo");
    Path::new(&folder).join("../..")
}

/// A folder of tests/goldens.
pub fn golden_folder(name: &str) -> PathBuf {
    repository().join("tests/goldens").join(name)
}

/// A path in the folder `shared` beside the repository, where there is one; otherwise the test that asks prints why it is skipped.
pub fn shared(path: &str) -> Option<PathBuf> {
    let found = repository().join("../shared").join(path);
    if found.exists() {
        return Some(found);
    }
    skip(&format!("../shared/{path} is not there"));
    None
}

/// Prints why the rest of a test is skipped.
pub fn skip(reason: &str) {
    println!("SKIPPED: {reason}");
}

/// The files of a model: a folder, or a file with the ending `.gguf`.
pub fn folder_files(path: &Path) -> ModelFiles {
    if path.extension().is_some_and(|extension| extension == "gguf") {
        ModelFiles::Gguf(Rc::new(FileReader::open(path).unwrap()))
    } else {
        ModelFiles::Folder(Rc::new(DirectoryFiles::open(path).unwrap()))
    }
}
