//! What JavaScript names as a model's source.

use std::{collections::BTreeMap, rc::Rc};

use eyas_core::{Error, ErrorKind, Result};
use eyas_weights::{ModelFiles, gguf_part_names};
use js_sys::{Array, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::Blob;

use crate::{
    http_files::{GgufSiblings, HttpFolder, NamedFiles, Place},
    opening::Opening,
};

/// Reads `{ kind: "folder", url } | { kind: "gguf", url } | { kind: "files", name?, files: { name, blob?, url? }[] }`.
pub(crate) async fn model_files(source: &JsValue, opening: &Rc<Opening>) -> Result<ModelFiles> {
    match text(source, "kind")?.as_str() {
        "folder" => Ok(ModelFiles::Folder(Rc::new(HttpFolder::new(&text(source, "url")?, opening)))),
        "gguf" => {
            let url = text(source, "url")?;
            let name = file_name(&url);
            if gguf_part_names(&name).is_some() {
                return ModelFiles::open_gguf(&GgufSiblings { url, name: name.clone(), opening: opening.clone() }, &name).await;
            }
            let reader = opening.model.open(&name, &url, false).await?;
            Ok(ModelFiles::Gguf(reader.ok_or_else(|| not_found(&url))?))
        }
        "files" => named_files(source, opening).await,
        other => Err(Error::bad_input(format!("a model source of the kind {other:?} is unknown; known: folder, gguf, files"))),
    }
}

async fn named_files(source: &JsValue, opening: &Rc<Opening>) -> Result<ModelFiles> {
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
    let ggufs: Vec<String> = files.keys().filter(|name| name.to_ascii_lowercase().ends_with(".gguf")).cloned().collect();
    let label = field(source, "name").as_string().unwrap_or_else(|| "the given files".into());
    let is_empty = files.is_empty();
    let folder = NamedFiles { label, files, opening: opening.clone() };
    match ggufs.as_slice() {
        [] if is_empty => Err(Error::bad_input("no model files were given")),
        [] => Ok(ModelFiles::Folder(Rc::new(folder))),
        [first, others @ ..] => {
            let parts = gguf_part_names(first).unwrap_or_default();
            if others.iter().any(|other| !parts.contains(other)) {
                return Err(Error::bad_input("more than one .gguf model was given; give one, or all parts of one"));
            }
            ModelFiles::open_gguf(&folder, first).await
        }
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
