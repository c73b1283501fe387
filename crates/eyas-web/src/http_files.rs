//! A folder behind a base URL, and files that were named one by one.

use std::{collections::BTreeMap, rc::Rc};

use eyas_core::Result;
use eyas_weights::{FileSet, LocalFuture, RangeReader, check_file_name};
use web_sys::Blob;

use crate::{
    blob_reader::BlobReader,
    cancel_handle::Cancel,
    http_network::{HttpReader, Opened},
};

/// Opens a URL as a file.
pub(crate) async fn open_url(
    name: &str,
    url: &str,
    page_is_missing: bool,
    cancel: &Cancel,
) -> Result<Option<Rc<dyn RangeReader>>> {
    Ok(match HttpReader::open(name, url, page_is_missing, cancel).await? {
        Opened::File(reader) => Some(Rc::new(reader)),
        Opened::Missing => None,
    })
}

/// Files below a base URL that ends with a slash.
pub(crate) struct HttpFolder {
    base: String,
    cancel: Cancel,
}

impl HttpFolder {
    pub(crate) fn new(base: &str, cancel: &Cancel) -> Self {
        let base = if base.ends_with('/') { base.to_owned() } else { format!("{base}/") };
        Self { base, cancel: cancel.clone() }
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
            open_url(name, &format!("{}{name}", self.base), true, &self.cancel).await
        })
    }
}

/// The files beside a GGUF file, under its own URL with another name; what follows the path (a token, say) stays.
pub(crate) struct GgufSiblings {
    pub(crate) url: String,
    pub(crate) name: String,
    pub(crate) cancel: Cancel,
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
            open_url(name, &format!("{folder}{name}{rest}"), false, &self.cancel).await
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
    pub(crate) cancel: Cancel,
}

impl FileSet for NamedFiles {
    fn label(&self) -> &str {
        &self.label
    }

    fn open<'a>(&'a self, name: &'a str) -> LocalFuture<'a, Result<Option<Rc<dyn RangeReader>>>> {
        Box::pin(async move {
            match self.files.get(name) {
                None => Ok(None),
                Some(place) => place.open(name, &self.cancel).await,
            }
        })
    }
}

impl Place {
    pub(crate) async fn open(&self, name: &str, cancel: &Cancel) -> Result<Option<Rc<dyn RangeReader>>> {
        match self {
            Self::Blob(blob) => Ok(Some(Rc::new(BlobReader::new(name.into(), blob.clone())))),
            Self::Url(url) => open_url(name, url, true, cancel).await,
        }
    }
}
