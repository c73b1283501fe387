//! The models on this device.

use std::{any::Any, cell::RefCell, rc::Rc};

use eyas_core::{Error, ErrorKind, Result, format_bytes, sort, sort_by};
use serde::Serialize;

use crate::{
    CHUNK_BYTES, Clock, Digest, Expectations, FileSystem, ModelRecord, OpenModel, Ports, Which,
    chunk_file::{FileKind, part_names, slot_names},
    record_book::{read_record, remove_model},
    shelf::Shelf,
};

/// Room that is left for records and digests beside a file's own bytes.
const MARGIN_BYTES: u64 = 1 << 20;

/// A model on this device, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredModel {
    /// What the application calls it: its address.
    pub id: String,
    /// Bytes that are stored, of all its versions, with what was fetched ahead.
    pub bytes: u64,
    /// Whether it can be loaded without a network.
    pub complete: bool,
    /// When it was last loaded, in milliseconds of the Unix epoch.
    pub last_used_ms: u64,
    /// Whether it may go when another model needs its room.
    pub evictable: bool,
    /// A name for what its files hold; absent while it is incomplete.
    pub version: Option<String>,
    /// Whether the version before this one is still kept.
    pub has_previous: bool,
    /// Its files.
    pub files: Vec<StoredFile>,
}

/// A file of a model on this device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredFile {
    /// Its name.
    pub name: String,
    /// Its size when it is complete.
    pub bytes: u64,
    /// Bytes that are there.
    pub stored_bytes: u64,
    /// Its SHA-256; absent while it is incomplete.
    pub sha256: Option<Digest>,
}

/// What there is of a model on this device, and the room for the rest of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes of its files that are there.
    pub stored_bytes: u64,
    /// Bytes that are free, and that would be when every evictable model but this one has gone; absent where the browser does not tell.
    pub free_bytes: Option<u64>,
}

/// The models on this device. Clones share them.
#[derive(Clone)]
pub struct Store {
    files: Rc<dyn FileSystem>,
    clock: Rc<dyn Clock>,
    chunk_bytes: u32,
}

impl Store {
    /// The store in `files`.
    pub fn new(files: Rc<dyn FileSystem>, clock: Rc<dyn Clock>) -> Self {
        Self { files, clock, chunk_bytes: CHUNK_BYTES }
    }

    /// The same store, which cuts new files into chunks of `chunk_bytes`.
    #[must_use]
    pub fn with_chunk_bytes(mut self, chunk_bytes: u32) -> Self {
        self.chunk_bytes = chunk_bytes.max(1);
        self
    }

    pub(crate) fn chunk_bytes(&self) -> u32 {
        self.chunk_bytes
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.unix_ms() as u64
    }

    /// The name of a model's folder.
    pub fn folder(id: &str) -> String {
        Digest::of(id.as_bytes()).to_string().chars().take(32).collect()
    }

    /// Opens a model for a load, and waits until no other tab is loading it. Dropping it gives the lock back.
    pub async fn open(
        &self,
        id: &str,
        which: Which,
        evictable: bool,
        ports: Ports,
        expectations: Expectations,
    ) -> Result<OpenModel> {
        let folder = Self::folder(id);
        let mut locks = Vec::new();
        if which == Which::Candidate {
            locks.push(self.lock(&Self::update_lock(&folder)).await?);
        }
        locks.push(self.lock(&folder).await?);
        let stored = read_record(self.files.as_ref(), &folder).await?;
        let mut record = stored.unwrap_or_else(|| ModelRecord::new(id, evictable, self.now_ms()));
        if which == Which::Current {
            record.evictable = evictable;
        }
        let shelf = self.shelf(folder, which, record, locks);
        shelf.sweep().await?;
        Ok(OpenModel::new(ports, expectations, Some((self.clone(), Rc::new(shelf)))))
    }

    /// The lock of whoever fetches a newer version; it is taken before the folder's own.
    pub(crate) fn update_lock(folder: &str) -> String {
        format!("{folder}-update")
    }

    pub(crate) fn files(&self) -> &dyn FileSystem {
        self.files.as_ref()
    }

    pub(crate) fn shared_files(&self) -> Rc<dyn FileSystem> {
        self.files.clone()
    }

    pub(crate) fn shelf(&self, folder: String, which: Which, record: ModelRecord, locks: Vec<Box<dyn Any>>) -> Shelf {
        let record = RefCell::new(record);
        Shelf { files: self.files.clone(), folder, which, record, takes_turns: false, _locks: locks }
    }

    /// Opens the candidate of a model that is complete, to be fetched while loads of the current version go on; `model-not-found` where there is no
    /// such model.
    pub(crate) async fn open_beside(&self, id: &str, ports: Ports, expectations: Expectations) -> Result<OpenModel> {
        let folder = Self::folder(id);
        let update = self.lock(&Self::update_lock(&folder)).await?;
        let turn = self.lock(&folder).await?;
        let record = read_record(self.files.as_ref(), &folder).await?.filter(|record| record.current.complete);
        let Some(mut record) = record else {
            return Err(Error::new(ErrorKind::ModelNotFound, format!("{id} is not complete on this device; load it first")));
        };
        if let Some(candidate) = &mut record.candidate {
            candidate.complete = false; // what an earlier update left is compared with the server again
        }
        let mut shelf = self.shelf(folder, Which::Candidate, record, vec![update]);
        shelf.sweep().await?;
        drop(turn);
        shelf.takes_turns = true;
        Ok(OpenModel::new(ports, expectations, Some((self.clone(), Rc::new(shelf)))))
    }

    /// After the first answer of `version`, which is a model's current one: the version before it goes. False where that is not so any more, or where
    /// there is none before it.
    pub async fn settle(&self, id: &str, version: &str) -> Result<bool> {
        match self.unproven(id, version).await? {
            Some(shelf) => shelf.settle().await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Where `version`, a model's current one, does not answer: the version before it comes back. False where that is not so any more, or where there
    /// is none before it.
    pub async fn roll_back(&self, id: &str, version: &str) -> Result<bool> {
        match self.unproven(id, version).await? {
            Some(shelf) => shelf.roll_back().await,
            None => Ok(false),
        }
    }

    /// Before the first answer of `version`, a model's current one, while the version before is kept: writes down that it is tried, so that it shows
    /// where its worker breaks. False where nothing is to be proved.
    pub async fn begin_try(&self, id: &str, version: &str) -> Result<bool> {
        match self.unproven(id, version).await? {
            Some(shelf) => shelf.begin_try().await.map(|_| true),
            None => Ok(false),
        }
    }

    /// The answer came to an end that says nothing of the version. False where nothing is to be proved.
    pub async fn end_try(&self, id: &str, version: &str) -> Result<bool> {
        match self.unproven(id, version).await? {
            Some(shelf) => shelf.end_try().await.map(|()| true),
            None => Ok(false),
        }
    }

    /// After a worker broke: where that was in a load or in the first answer of a new version, the version before comes back. False where nothing was
    /// being tried.
    pub async fn put_back(&self, id: &str) -> Result<bool> {
        let folder = Self::folder(id);
        let lock = self.lock(&folder).await?;
        let record = read_record(self.files.as_ref(), &folder).await?;
        match record.filter(|record| record.tries > 0 && record.previous.is_some()) {
            Some(record) => self.shelf(folder, Which::Current, record, vec![lock]).roll_back().await,
            None => Ok(false),
        }
    }

    async fn unproven(&self, id: &str, version: &str) -> Result<Option<Shelf>> {
        let folder = Self::folder(id);
        let lock = self.lock(&folder).await?;
        let record = read_record(self.files.as_ref(), &folder).await?;
        let record = record.filter(|record| record.previous.is_some() && record.current.name().as_deref() == Some(version));
        Ok(record.map(|record| self.shelf(folder, Which::Current, record, vec![lock])))
    }

    pub(crate) async fn lock(&self, folder: &str) -> Result<Box<dyn Any>> {
        let lock = self.files.lock(folder, true).await?;
        lock.ok_or_else(|| Error::internal("a lock that was waited for was not given"))
    }

    /// All models, the last used first. What is being fetched in this moment is listed with what was written down last.
    pub async fn list(&self) -> Result<Vec<StoredModel>> {
        let mut models = Vec::new();
        for folder in self.files.folders().await? {
            if let Some(record) = read_record(self.files.as_ref(), &folder).await? {
                models.push(self.describe(&folder, &record).await?);
            }
        }
        sort_by(&mut models, |a, b| b.last_used_ms.cmp(&a.last_used_ms));
        Ok(models)
    }

    async fn describe(&self, folder: &str, record: &ModelRecord) -> Result<StoredModel> {
        let mut files = Vec::new();
        for file in &record.current.files {
            let stored_bytes = match file.digest {
                Some(_) => file.size,
                None => self.files.size(folder, &slot_names(file.slot)[0]).await?.min(file.size),
            };
            files.push(StoredFile { name: file.name.clone(), bytes: file.size, stored_bytes, sha256: file.digest });
        }
        sort_by(&mut files, |a, b| a.name.cmp(&b.name));
        let mut others = Vec::new();
        for file in record.versions().skip(1).flat_map(|version| &version.files) {
            let is_known = |slot: &u32| *slot == file.slot;
            if !record.current.files.iter().any(|known| known.slot == file.slot) && !others.iter().any(|(slot, _)| is_known(slot))
            {
                others.push((file.slot, self.files.size(folder, &slot_names(file.slot)[0]).await?.min(file.size)));
            }
        }
        let bytes = files.iter().map(|file| file.stored_bytes).chain(others.iter().map(|(_, bytes)| *bytes)).sum::<u64>();
        Ok(StoredModel {
            id: record.id.clone(),
            bytes: bytes + self.part_bytes(folder).await?,
            complete: record.current.complete,
            last_used_ms: record.last_used_ms,
            evictable: record.evictable,
            version: record.current.name().filter(|_| record.current.complete),
            has_previous: record.previous.is_some(),
            files,
        })
    }

    /// Bytes of a model that lie ahead of the files they belong to.
    async fn part_bytes(&self, folder: &str) -> Result<u64> {
        let mut bytes = 0;
        for name in self.files.names(folder).await? {
            if let Some(FileKind::Part { slot, from }) = FileKind::of(&name)
                && name == part_names(slot, from)[0]
            {
                bytes += self.files.size(folder, &name).await?;
            }
        }
        Ok(bytes)
    }

    /// Removes a model, when no tab is loading or updating it any more; false where there is none.
    pub async fn remove(&self, id: &str) -> Result<bool> {
        let folder = Self::folder(id);
        let _update = self.lock(&Self::update_lock(&folder)).await?;
        let _lock = self.lock(&folder).await?;
        let was_there = read_record(self.files.as_ref(), &folder).await?.is_some();
        remove_model(&self.files, &folder).await?;
        Ok(was_there)
    }

    pub(crate) async fn discard(&self, shelf: &Shelf) -> Result<()> {
        remove_model(&self.files, &shelf.folder).await
    }

    /// What there is of a model, and the room for the rest of it, by what the browser tells and what is written down. Changes nothing.
    pub async fn room(&self, id: &str) -> Result<Room> {
        let models = self.list().await?;
        let stored = models.iter().find(|model| model.id == id).map_or(&[][..], |model| &model.files[..]);
        let evictable = models.iter().filter(|model| model.evictable && model.id != id).map(|model| model.bytes).sum::<u64>();
        let free_bytes = self.files.free_bytes().await?.map(|free| free.saturating_add(evictable));
        Ok(Room { stored_bytes: stored.iter().map(|file| file.stored_bytes).sum(), free_bytes })
    }

    /// Makes room for `bytes`: folders without a record go first, then evictable models, the least recently used one first; never the model in
    /// `keep`, nor one that a tab is loading. `storage-full` where all of them would not be enough; then no model was removed.
    pub async fn make_room(&self, bytes: u64, keep: &str) -> Result<()> {
        let needed = bytes.saturating_add(MARGIN_BYTES.min(bytes));
        if self.free_below(needed).await?.is_none() {
            return Ok(());
        }
        let mut candidates = Vec::new();
        for folder in self.files.folders().await? {
            if folder == keep {
                continue;
            }
            match read_record(self.files.as_ref(), &folder).await? {
                Some(record) if record.evictable => {
                    let model = self.describe(&folder, &record).await?;
                    candidates.push((model.last_used_ms, folder, model.bytes));
                }
                Some(_) => {}
                None => _ = self.evict(&folder).await?,
            }
        }
        let Some(free) = self.free_below(needed).await? else { return Ok(()) };
        sort(&mut candidates);
        let evictable_bytes = candidates.iter().map(|(_, _, bytes)| bytes).sum::<u64>();
        if free.saturating_add(evictable_bytes) >= needed {
            for (_, folder, _) in candidates {
                if self.evict(&folder).await? && self.free_below(needed).await?.is_none() {
                    return Ok(());
                }
            }
        }
        let detail = format!(
            "the model needs {} more on this device, and the browser allows {}; free space, remove a model, or load with store: \"none\"",
            format_bytes(bytes),
            format_bytes(free)
        );
        Err(Error::new(ErrorKind::StorageFull, detail))
    }

    /// Removes the evictable model that was used the longest ago, where a device turns out to be full whatever its estimate said; never the one in
    /// `keep`. False where there is none.
    pub(crate) async fn evict_oldest(&self, keep: &str) -> Result<bool> {
        let mut candidates = Vec::new();
        for folder in self.files.folders().await?.into_iter().filter(|folder| folder != keep) {
            match read_record(self.files.as_ref(), &folder).await? {
                Some(record) if !record.evictable => {}
                record => candidates.push((record.map_or(0, |record| record.last_used_ms), folder)),
            }
        }
        sort(&mut candidates);
        for (_, folder) in candidates {
            if self.evict(&folder).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes a folder that no tab is loading or updating.
    async fn evict(&self, folder: &str) -> Result<bool> {
        let Some(_update) = self.files.lock(&Self::update_lock(folder), false).await? else { return Ok(false) };
        let Some(_lock) = self.files.lock(folder, false).await? else { return Ok(false) };
        remove_model(&self.files, folder).await?;
        Ok(true)
    }

    /// What is free, where that is known to be less than `needed`.
    async fn free_below(&self, needed: u64) -> Result<Option<u64>> {
        Ok(self.files.free_bytes().await?.filter(|free| *free < needed))
    }
}
