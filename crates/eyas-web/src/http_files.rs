//! A folder behind a base URL, and files that were named one by one.

use std::{collections::BTreeMap, rc::Rc};

use eyas_core::Result;
use eyas_weights::{FileSet, LocalFuture, RangeReader, check_file_name};
use web_sys::Blob;

use crate::{blob_reader::BlobReader, opening::Opening};

/// Files below a base URL that ends with a slash.
pub(crate) struct HttpFolder {
    base: String,
    opening: Rc<Opening>,
}

impl HttpFolder {
    pub(crate) fn new(base: &str, opening: &Rc<Opening>) -> Self {
        let base = if base.ends_with('/') { base.to_owned() } else { format!("{base}/") };
        Self { base, opening: opening.clone() }
    }
}

impl FileSet for HttpFolder {
    fn label(&self) -> &str {
        &self.base
    }

    fn open<'a>(&'a self, name: &'a str) -> LocalFuture<'a, Result<Option<Rc<dyn RangeReader>>>> {
        Box::pin(async move {
            check_file_name(name)?;
            // Many servers answer every unknown path with the application's page.
            self.opening.model.open(name, &format!("{}{name}", self.base), true).await
        })
    }
}

/// The files beside a GGUF file, under its own URL with another name; what follows the path (a token, say) stays.
pub(crate) struct GgufSiblings {
    pub(crate) url: String,
    pub(crate) name: String,
    pub(crate) opening: Rc<Opening>,
}

impl FileSet for GgufSiblings {
    fn label(&self) -> &str {
        &self.url
    }

    fn open<'a>(&'a self, name: &'a str) -> LocalFuture<'a, Result<Option<Rc<dyn RangeReader>>>> {
        Box::pin(async move {
            check_file_name(name)?;
            let path_end = self.url.find(['?', '#']).unwrap_or(self.url.len());
            let (path, rest) = self.url.split_at(path_end);
            let folder = path.strip_suffix(&self.name).unwrap_or(path);
            self.opening.model.open(name, &format!("{folder}{name}{rest}"), false).await
        })
    }
}

/// Where a named file is.
#[derive(Clone)]
pub(crate) enum Place {
    Blob(Blob),
    Url(String),
}

/// Files that were dropped, selected, or given by their URLs.
pub(crate) struct NamedFiles {
    pub(crate) label: String,
    pub(crate) files: BTreeMap<String, Place>,
    pub(crate) opening: Rc<Opening>,
}

impl FileSet for NamedFiles {
    fn label(&self) -> &str {
        &self.label
    }

    fn open<'a>(&'a self, name: &'a str) -> LocalFuture<'a, Result<Option<Rc<dyn RangeReader>>>> {
        Box::pin(async move {
            match self.files.get(name) {
                None => Ok(None),
                Some(place) => place.open(name, &self.opening).await,
            }
        })
    }
}

impl Place {
    pub(crate) async fn open(&self, name: &str, opening: &Opening) -> Result<Option<Rc<dyn RangeReader>>> {
        match self {
            Self::Blob(blob) => Ok(Some(Rc::new(BlobReader::new(name.into(), blob.clone())))),
            Self::Url(url) => opening.model.open(name, url, true).await,
        }
    }
}
