//! What the worker gives to the store: the browser's private file system, locks across tabs, a fast SHA-256, and timers. The worker's side is
//! `www/eyas/src/store_host.ts`.

use std::{any::Any, rc::Rc};

use eyas_core::{Error, ErrorKind, Result};
use eyas_store::{DIGEST_BYTES, Digest, FileSystem, SignatureCheck, StoreFile};
use eyas_weights::LocalFuture;
use js_sys::{Array, Function, Promise, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use wasm_bindgen_futures::JsFuture;

use crate::{cancel_handle::Cancel, host_clock::Timer, js_error::describe};

#[wasm_bindgen]
extern "C" {
    /// The worker's side.
    #[derive(Clone)]
    pub type StoreHost;
    #[wasm_bindgen(method)]
    pub(crate) fn sleep(this: &StoreHost, ms: f64) -> Timer;
    #[wasm_bindgen(method)]
    fn folders(this: &StoreHost) -> Promise;
    #[wasm_bindgen(method)]
    fn names(this: &StoreHost, folder: &str) -> Promise;
    #[wasm_bindgen(method)]
    fn size(this: &StoreHost, folder: &str, name: &str) -> Promise;
    #[wasm_bindgen(method)]
    fn load(this: &StoreHost, folder: &str, name: &str) -> Promise;
    #[wasm_bindgen(method)]
    fn save(this: &StoreHost, folder: &str, name: &str, bytes: Uint8Array) -> Promise;
    #[wasm_bindgen(method)]
    fn open(this: &StoreHost, folder: &str, name: &str) -> Promise;
    #[wasm_bindgen(method)]
    fn remove(this: &StoreHost, folder: &str, name: Option<String>) -> Promise;
    #[wasm_bindgen(method, js_name = "freeBytes")]
    fn free_bytes(this: &StoreHost) -> Promise;
    #[wasm_bindgen(method)]
    fn lock(this: &StoreHost, folder: &str, wait: bool) -> Promise;
    /// Copies the bytes before it returns.
    #[wasm_bindgen(method)]
    fn digest(this: &StoreHost, bytes: &[u8]) -> Promise;

    /// Resolves to whether `signature` is that of `public_key` over the message, both in base64; rejects where the browser can't tell.
    #[wasm_bindgen(method)]
    fn verify(this: &StoreHost, public_key: &str, signature: &str, message: Uint8Array) -> Promise;

    /// The answer to a plain request for this address that the worker sent before this module ran, given once.
    #[wasm_bindgen(method)]
    pub(crate) fn begun(this: &StoreHost, url: &str) -> Option<Promise>;

    /// An open file.
    pub type HostFile;
    #[wasm_bindgen(method, catch)]
    fn size(this: &HostFile) -> std::result::Result<f64, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn read(this: &HostFile, into: &mut [u8], offset: f64) -> std::result::Result<f64, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn write(this: &HostFile, bytes: &[u8], offset: f64) -> std::result::Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn truncate(this: &HostFile, size: f64) -> std::result::Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn flush(this: &HostFile) -> std::result::Result<(), JsValue>;
    #[wasm_bindgen(method)]
    fn close(this: &HostFile);
}

/// A full device is `storage-full`; whatever else fails may work another time.
fn failed(error: &JsValue) -> Error {
    let name = Reflect::get(error, &JsValue::from_str("name")).ok().and_then(|name| name.as_string()).unwrap_or_default();
    match name.as_str() {
        "QuotaExceededError" => Error::new(
            ErrorKind::StorageFull,
            "the browser's storage for this site is full; what was fetched is kept: free space or remove a model, and load again",
        ),
        "AbortError" => Error::aborted(),
        _ => {
            let detail =
                format!("the device's storage failed ({name}: {}); load again, or with store: \"none\"", describe(error));
            Error::new(ErrorKind::DownloadFailed, detail)
        }
    }
}

/// The browser's files, for one load.
pub(crate) struct HostFiles {
    pub(crate) host: StoreHost,
    pub(crate) cancel: Cancel,
}

impl HostFiles {
    async fn done(&self, promise: Promise) -> Result<JsValue> {
        done(JsFuture::from(promise), &self.cancel).await
    }
}

async fn done(work: JsFuture, cancel: &Cancel) -> Result<JsValue> {
    let value = work.await;
    cancel.token.check()?;
    value.map_err(|error| failed(&error))
}

fn texts(list: JsValue) -> Vec<String> {
    list.unchecked_into::<Array>().iter().filter_map(|text| text.as_string()).collect()
}

impl FileSystem for HostFiles {
    fn folders(&self) -> LocalFuture<'_, Result<Vec<String>>> {
        Box::pin(async move { Ok(texts(self.done(self.host.folders()).await?)) })
    }

    fn names<'a>(&'a self, folder: &'a str) -> LocalFuture<'a, Result<Vec<String>>> {
        Box::pin(async move { Ok(texts(self.done(self.host.names(folder)).await?)) })
    }

    fn size<'a>(&'a self, folder: &'a str, name: &'a str) -> LocalFuture<'a, Result<u64>> {
        Box::pin(async move { Ok(self.done(self.host.size(folder, name)).await?.as_f64().unwrap_or_default() as u64) })
    }

    fn load<'a>(&'a self, folder: &'a str, name: &'a str) -> LocalFuture<'a, Result<Option<Vec<u8>>>> {
        Box::pin(async move {
            let bytes = self.done(self.host.load(folder, name)).await?;
            Ok(bytes.dyn_into::<Uint8Array>().ok().map(|bytes| bytes.to_vec()))
        })
    }

    fn save<'a>(&'a self, folder: &'a str, name: &'a str, bytes: &'a [u8]) -> LocalFuture<'a, Result<()>> {
        Box::pin(async move { self.done(self.host.save(folder, name, Uint8Array::from(bytes))).await.map(|_| ()) })
    }

    fn open<'a>(&'a self, folder: &'a str, name: &'a str) -> LocalFuture<'a, Result<Rc<dyn StoreFile>>> {
        Box::pin(async move {
            let file = JsFuture::from(self.host.open(folder, name)).await.map_err(|error| failed(&error))?;
            let file = Rc::new(OpenFile(file.unchecked_into())); // closed where the load was given up meanwhile
            self.cancel.token.check()?;
            Ok(file as Rc<dyn StoreFile>)
        })
    }

    fn remove<'a>(&'a self, folder: &'a str, name: Option<&'a str>) -> LocalFuture<'a, Result<()>> {
        Box::pin(async move { self.done(self.host.remove(folder, name.map(str::to_owned))).await.map(|_| ()) })
    }

    fn free_bytes(&self) -> LocalFuture<'_, Result<Option<u64>>> {
        Box::pin(async move { Ok(self.done(self.host.free_bytes()).await?.as_f64().map(|bytes| bytes as u64)) })
    }

    fn lock<'a>(&'a self, folder: &'a str, wait: bool) -> LocalFuture<'a, Result<Option<Box<dyn Any>>>> {
        Box::pin(async move {
            let release = JsFuture::from(self.host.lock(folder, wait)).await;
            let held = release.map(|release| release.dyn_into::<Function>().ok().map(Held));
            self.cancel.token.check()?;
            Ok(held.map_err(|error| failed(&error))?.map(|held| Box::new(held) as Box<dyn Any>))
        })
    }

    fn digest(&self, bytes: &[u8]) -> LocalFuture<'static, Result<Digest>> {
        let (work, cancel) = (JsFuture::from(self.host.digest(bytes)), self.cancel.clone());
        Box::pin(async move {
            let digest = Uint8Array::new(&done(work, &cancel).await?);
            let mut bytes = [0; DIGEST_BYTES];
            if digest.length() as usize != DIGEST_BYTES {
                return Err(Error::internal(format!("a SHA-256 of the browser has {} bytes", digest.length())));
            }
            digest.copy_to(&mut bytes);
            Ok(Digest(bytes))
        })
    }
}

/// The browser's Ed25519, with the key that the application has pinned.
pub(crate) struct HostSignatures {
    pub(crate) host: StoreHost,
    pub(crate) public_key: String,
}

impl SignatureCheck for HostSignatures {
    fn verify<'a>(&'a self, message: &'a [u8], signature: &'a str) -> LocalFuture<'a, Result<bool>> {
        Box::pin(async move {
            let verified = JsFuture::from(self.host.verify(&self.public_key, signature, Uint8Array::from(message))).await;
            let verified = verified.map_err(|error| Error::new(ErrorKind::Integrity, describe(&error)))?;
            Ok(verified.is_truthy())
        })
    }
}

struct OpenFile(HostFile);

impl StoreFile for OpenFile {
    fn size(&self) -> Result<u64> {
        self.0.size().map(|size| size as u64).map_err(|error| failed(&error))
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<usize> {
        self.0.read(into, offset as f64).map(|count| count as usize).map_err(|error| failed(&error))
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.0.write(bytes, offset as f64).map_err(|error| failed(&error))
    }

    fn truncate(&self, size: u64) -> Result<()> {
        self.0.truncate(size as f64).map_err(|error| failed(&error))
    }

    fn flush(&self) -> Result<()> {
        self.0.flush().map_err(|error| failed(&error))
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A lock that is given back when it is dropped.
struct Held(Function);

impl Drop for Held {
    fn drop(&mut self) {
        // The function settles a promise; it can't fail.
        let _ = self.0.call0(&JsValue::UNDEFINED);
    }
}
