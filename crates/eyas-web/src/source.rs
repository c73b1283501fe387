//! What JavaScript names as a model's source.

use std::{collections::BTreeMap, rc::Rc};

use eyas_core::{Error, ErrorKind, Result};
use eyas_weights::ModelFiles;
use js_sys::{Array, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::Blob;

use crate::{
    cancel_handle::Cancel,
    http_files::{HttpFolder, NamedFiles, Place, open_url},
};

/// Reads `{ kind: "folder", url } | { kind: "gguf", url } | { kind: "files", name?, files: { name, blob?, url? }[] }`.
pub(crate) async fn model_files(source: &JsValue, cancel: &Cancel) -> Result<ModelFiles> {
    match text(source, "kind")?.as_str() {
        "folder" => Ok(ModelFiles::Folder(Rc::new(HttpFolder::new(&text(source, "url")?, cancel)))),
        "gguf" => {
            let url = text(source, "url")?;
            let name = file_name(&url);
            let reader = open_url(&name, &url, false, cancel).await?;
            Ok(ModelFiles::Gguf(reader.ok_or_else(|| not_found(&url))?))
        }
        "files" => named_files(source, cancel).await,
        other => Err(Error::bad_input(format!("a model source of the kind {other:?} is unknown; known: folder, gguf, files"))),
    }
}

async fn named_files(source: &JsValue, cancel: &Cancel) -> Result<ModelFiles> {
    let list = field(source, "files");
    let list =
        list.dyn_ref::<Array>().ok_or_else(|| Error::bad_input("a model source of the kind \"files\" needs a list of files"))?;
    let mut files = BTreeMap::new();
    for file in list.iter() {
        let place = match field(&file, "blob").dyn_into::<Blob>() {
            Ok(blob) => Place::Blob(blob),
            Err(_) => Place::Url(text(&file, "url")?),
        };
        files.insert(text(&file, "name")?, place);
    }
    let mut ggufs = files.iter().filter(|(name, _)| name.to_ascii_lowercase().ends_with(".gguf"));
    match (ggufs.next(), ggufs.next()) {
        (Some((name, place)), None) => {
            let reader = place.open(name, cancel).await?;
            Ok(ModelFiles::Gguf(reader.ok_or_else(|| not_found(name))?))
        }
        (None, _) if files.is_empty() => Err(Error::bad_input("no model files were given")),
        (None, _) => {
            let label = field(source, "name").as_string().unwrap_or_else(|| "the given files".into());
            Ok(ModelFiles::Folder(Rc::new(NamedFiles { label, files, cancel: cancel.clone() })))
        }
        (Some(_), Some(_)) => Err(Error::bad_input("more than one .gguf file was given; give one")),
    }
}

fn not_found(what: &str) -> Error {
    Error::new(ErrorKind::ModelNotFound, format!("there is no file at {what}; check the address"))
}

fn file_name(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

fn field(object: &JsValue, key: &str) -> JsValue {
    Reflect::get(object, &JsValue::from_str(key)).unwrap_or(JsValue::UNDEFINED)
}

fn text(object: &JsValue, key: &str) -> Result<String> {
    field(object, key).as_string().ok_or_else(|| Error::bad_input(format!("a model source needs {key:?} as a string")))
}
