//! The model on the device: fetched once, in parts if need be, checked, kept, updated, and there without a network.
//!
//! A [`Store`] keeps models in folders of a [`FileSystem`]; [`Store::open`] gives an [`OpenModel`], whose files are
//! [`eyas_weights::RangeReader`]s. Reading one that is not there yet fetches it from the [`Network`], in order, and hands the bytes to the reader and
//! to the store at once.
//!
//! - **Chunks.** A file is kept in chunks of 1 MiB, each with its SHA-256. What came of a chunk is stored
//!   ten times a second, with marks that tell how far it goes: a tab that dies loses what came since. Every chunk is checked whenever it is read; a
//!   damaged one is fetched again alone.
//! - **Records.** What counts as stored is what a model's [`ModelRecord`] says. It is written after the bytes, in one of two files that take turns,
//!   with its own SHA-256: whatever cuts a writing short, the record before it is whole.
//! - **Resuming.** A connection that breaks or stalls is made anew behind the last byte; a later visit goes on behind the last byte that was stored. Validators
//!   and lengths tell whether the server still has the same file, and where nothing tells, a chunk is fetched again and compared.
//! - **Side by side.** Where a file takes long and another connection makes it faster, up to three fetch it: those beside the reader's own store parts of it
//!   ahead of him, in files of their own, which he reads when he comes to them.
//! - **Room.** Before a download the quota is asked; models that the application called evictable go, the least recently used first.
//! - **Versions.** A newer version is fetched beside the current one, shares what did not change, and takes its place when it was tried; the one before
//!   stays until the new one has answered, and comes back where the new one fails.
//!
//! - **Manifests.** A [`Manifest`] beside the files tells their sizes and hashes before they are fetched; with a [`SignatureCheck`] nothing else is.
//! - **Archives.** A complete model can be written out as one file and taken in elsewhere, checked on both ways.
//!
//! What it does not do: it knows no browser and no disk ([`FileSystem`], [`Network`] and [`Clock`] are the shell's), no model format, and no schedule:
//! one load at a time works on a model, whoever holds its lock.
//!
//! ```
//! use std::rc::Rc;
//! use eyas_store::{Clock, Expectations, FileSystem, Network, Ports, Store, Which};
//!
//! async fn first_bytes(device: Rc<dyn FileSystem>, network: Rc<dyn Network>, clock: Rc<dyn Clock>) -> eyas_core::Result<Vec<u8>> {
//!     let store = Store::new(device, clock.clone());
//!     let id = "https://example.org/model/";
//!     let model = store.open(id, Which::Current, false, Ports { network, clock }, Expectations::default()).await?;
//!     let weights = model.open("model.safetensors", "https://example.org/model/model.safetensors", true).await?;
//!     let bytes = weights.expect("the model has weights").read(0, 8).await?; // from the store, or from the network into it
//!     model.finish().await?; // all files are here now; the next load needs no network
//!     Ok(bytes)
//! }
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))] // a test fails by panicking

mod ahead;
mod chunk_file;
mod connection;
mod content_range;
#[cfg(test)]
#[path = "../../../tests/fuzz/damage.rs"]
mod damage;
mod digest;
mod download;
mod file_system;
mod lanes;
mod manifest;
mod meter;
mod model_archive;
mod model_file;
mod model_record;
mod network;
mod open_model;
mod part;
mod passing;
mod read_manifest;
mod record_book;
mod shelf;
mod store;
mod update;
mod validator;

pub use digest::{DIGEST_BYTES, Digest, RunningDigest};
pub use eyas_core::Clock;
pub use file_system::{FileSystem, StoreFile};
pub use manifest::{ExpectedAnswer, MANIFEST_NAME, Manifest, ManifestFile, ManifestWish, SIGNATURE_NAME, SignatureCheck};
pub use meter::{ByteSource, Meter};
pub use model_archive::{Imported, ModelExport};
pub use model_record::{CHUNK_BYTES, FileRecord, ModelRecord, Version};
pub use network::{Answer, Get, Network};
pub use open_model::{Expectations, OpenModel, Ports};
pub use shelf::Which;
pub use store::{Room, Store, StoredFile, StoredModel};
pub use update::{Fetching, Newer};
pub use validator::Validator;
