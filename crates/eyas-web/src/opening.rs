//! A model that a load or a plan is opening: what is kept of it, and where its bytes come from.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use eyas_core::{Clock, Error, ErrorKind, Result};
use eyas_store::{Digest, Expectations, ManifestWish, OpenModel, Ports, SignatureCheck, Store, Which};
use serde::{Deserialize, Serialize};

use crate::{
    cancel_handle::Cancel,
    host_clock::HostClock,
    http_network::HttpNetwork,
    store_host::{HostFiles, HostSignatures, StoreHost},
};

/// What the worker asks of the store for a load.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct StoreOptions {
    /// What the model is called in the store; absent where nothing is to be kept.
    id: Option<String>,
    /// Why nothing is to be kept.
    reason: String,
    /// Whether a load fails where there is no room, rather than go on without keeping anything.
    required: bool,
    evictable: bool,
    sha256: BTreeMap<String, Digest>,
    unasked_bytes: Option<u64>,
    /// Where the manifest is; absent where none is to be looked for.
    manifest_url: Option<String>,
    /// A file that the manifest must list, to be this model's.
    manifest_lists: Option<String>,
    /// The publisher's Ed25519 key in base64, where a signature is demanded.
    public_key: Option<String>,
}

impl StoreOptions {
    /// What the model is called in the store.
    pub(crate) fn id(&self) -> Result<&str> {
        self.id.as_deref().ok_or_else(|| Error::new(ErrorKind::ModelNotFound, format!("no model is kept here: {}", self.reason)))
    }

    /// What is asked of a load whose model finds no room: the same without keeping it. None where it was to be kept, or the error is another one.
    pub(crate) fn without_room(&self, error: &Error) -> Option<Self> {
        let may_pass = error.kind() == ErrorKind::StorageFull && self.id.is_some() && !self.required;
        may_pass.then(|| Self { id: None, reason: error.detail().to_owned(), ..self.clone() })
    }

    /// Whether a model that finds no room is not loaded.
    pub(crate) fn is_required(&self) -> bool {
        self.required
    }

    pub(crate) fn ports(&self, host: &StoreHost, cancel: &Cancel) -> (Ports, Expectations) {
        let network = Rc::new(HttpNetwork { host: host.clone(), cancel: cancel.clone(), bypasses_cache: self.id.is_some() });
        let signature = self
            .public_key
            .clone()
            .map(|public_key| Rc::new(HostSignatures { host: host.clone(), public_key }) as Rc<dyn SignatureCheck>);
        let manifest = ManifestWish {
            url: self.manifest_url.clone(),
            lists: self.manifest_lists.clone(),
            eyas_version: env!("CARGO_PKG_VERSION"),
            signature,
        };
        let expectations = Expectations { digests: self.sha256.clone(), unasked_bytes: self.unasked_bytes, manifest };
        (Ports { network, clock: clock(host) }, expectations)
    }
}

/// What became of a model's files, for `info.storage`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StorageReport {
    kept: bool,
    reason: String,
    fetched_bytes: u64,
    stored_bytes: u64,
    /// A name for what the files hold; absent where nothing is kept.
    version: Option<String>,
    /// Whether the version before this one is kept until this one has answered.
    previous_kept: bool,
    /// Why this load went back to the version before; absent where it did not.
    rolled_back: Option<String>,
    /// What the publisher says of the model; absent where there is no manifest.
    manifest: Option<ManifestReport>,
}

/// What a manifest says, as an application shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ManifestReport {
    name: String,
    licence: Option<String>,
    /// Whether it carries the signature of the key that the application has pinned.
    signed: bool,
}

impl StorageReport {
    pub(crate) fn rolled_back(mut self, why: Option<String>) -> Self {
        self.rolled_back = why;
        self
    }
}

pub(crate) struct Opening {
    pub(crate) model: OpenModel,
    /// Why nothing is kept, where that is so.
    not_kept: RefCell<Option<String>>,
    /// Whether a signature was demanded.
    is_signed: bool,
    /// Whether the model is of no use where it is not kept.
    must_keep: bool,
}

impl Opening {
    /// Opens the model's place in the store; where that fails, the load goes on without one and says why.
    pub(crate) async fn new(host: StoreHost, options: StoreOptions, cancel: &Cancel) -> Result<Self> {
        let (ports, expectations) = options.ports(&host, cancel);
        let mut not_kept = options.reason;
        let mut kept = None;
        if let Some(id) = options.id {
            let store = store(host, cancel);
            match store.open(&id, Which::Current, options.evictable, ports.clone(), expectations.clone()).await {
                Ok(model) => kept = Some(model),
                Err(error) if error.kind() == ErrorKind::Aborted => return Err(error),
                Err(error) => not_kept = error.detail().to_owned(),
            }
        }
        let not_kept = Some(not_kept).filter(|_| kept.is_none());
        let model = kept.unwrap_or_else(|| OpenModel::passing(ports, expectations));
        let (not_kept, is_signed) = (RefCell::new(not_kept), options.public_key.is_some());
        Ok(Self { model, not_kept, is_signed, must_keep: options.required })
    }

    /// Opens the newer version of a stored model, which is to be tried.
    pub(crate) async fn candidate(host: StoreHost, options: StoreOptions, cancel: &Cancel) -> Result<Self> {
        let (ports, expectations) = options.ports(&host, cancel);
        let id = options.id()?;
        let model = store(host, cancel).open(id, Which::Candidate, options.evictable, ports, expectations).await?;
        let (not_kept, is_signed) = (RefCell::default(), options.public_key.is_some());
        Ok(Self { model, not_kept, is_signed, must_keep: true })
    }

    /// Whether the files stay on this device.
    pub(crate) fn is_kept(&self) -> bool {
        self.not_kept.borrow().is_none()
    }

    /// What became of the files, as far as they were read.
    pub(crate) fn report(&self) -> StorageReport {
        let meter = self.model.meter();
        StorageReport {
            kept: self.is_kept(),
            reason: self.not_kept.borrow().clone().unwrap_or_default(),
            fetched_bytes: meter.fetched_bytes(),
            stored_bytes: meter.stored_bytes(),
            version: self.model.version().filter(|_| self.is_kept()),
            previous_kept: self.model.has_previous(),
            rolled_back: None,
            manifest: self.model.manifest().map(|manifest| ManifestReport {
                name: manifest.name.clone(),
                licence: manifest.licence.clone(),
                signed: self.is_signed,
            }),
        }
    }

    /// After a load: writes down that the model is complete, or lets go what was at fault. True where an earlier version came back, which is worth
    /// another attempt.
    pub(crate) async fn conclude<T>(&self, loaded: Result<T>) -> (Result<T>, bool) {
        match loaded {
            Ok(loaded) => match self.model.finish().await {
                // It is there, and only its record found no room: it is not fetched again for that.
                Err(error) if error.kind() == ErrorKind::StorageFull && !self.must_keep => {
                    self.not_kept.replace(Some(error.detail().to_owned()));
                    (Ok(loaded), false)
                }
                finished => (finished.map(|()| loaded), false),
            },
            Err(error) => {
                // What the store makes of it does not hide why the load failed.
                let went_back = self.model.fail(&error).await.unwrap_or(false);
                (Err(error), went_back)
            }
        }
    }
}

fn clock(host: &StoreHost) -> Rc<dyn Clock> {
    let host = host.clone();
    Rc::new(HostClock::new(move |ms| host.sleep(ms)))
}

/// Models in the store, listed and removed.
pub(crate) fn store(host: StoreHost, cancel: &Cancel) -> Store {
    let clock = clock(&host);
    Store::new(Rc::new(HostFiles { host, cancel: cancel.clone() }), clock)
}
