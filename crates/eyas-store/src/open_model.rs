//! A model whose files are being opened by a load.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use eyas_core::{Error, ErrorKind, Result, format_bytes, within};
use eyas_weights::{MemoryReader, RangeReader};

use crate::{
    Answer, CHUNK_BYTES, Clock, Digest, FileRecord, Get, Meter, Network, Store, Validator,
    ahead::Aheads,
    chunk_file::{ChunkFile, Resumed, slot_names},
    connection::{Connection, Known, STALL_MS, Start},
    content_range::number,
    digest::RunningDigest,
    download::Download,
    manifest::{Manifest, ManifestWish},
    model_file::{ModelFile, Reading, require_digest},
    read_manifest::is_of_manifest,
    shelf::{Shelf, Which},
};

/// A body of unknown length is held in memory up to this size.
const UNSIZED_LIMIT_BYTES: usize = 64 << 20;

/// What the store works with.
#[derive(Clone)]
pub struct Ports {
    /// The network.
    pub network: Rc<dyn Network>,
    /// Time.
    pub clock: Rc<dyn Clock>,
}

/// What the application says of a model's files.
#[derive(Debug, Clone, Default)]
pub struct Expectations {
    /// The SHA-256 of whole files, by name. Files that are not named are pinned when they are first fetched.
    pub digests: BTreeMap<String, Digest>,
    /// The most bytes of a file that may be fetched without asking a person, where the device is to save data.
    pub unasked_bytes: Option<u64>,
    /// The manifest that is to be read before anything else, by [`OpenModel::read_manifest`].
    pub manifest: ManifestWish,
}

/// Opens a model's files, from the store where they are and from the network otherwise.
pub struct OpenModel {
    pub(crate) ports: Ports,
    pub(crate) meter: Rc<Meter>,
    pub(crate) expectations: Expectations,
    /// Absent where nothing is kept.
    kept: Option<(Store, Rc<Shelf>)>,
    pub(crate) opened: RefCell<Vec<Rc<ModelFile>>>,
    missing: RefCell<Vec<String>>,
    manifest: RefCell<Option<Rc<Manifest>>>,
}

impl OpenModel {
    /// A model of which nothing is kept: every read is a read from the network.
    pub fn passing(ports: Ports, expectations: Expectations) -> Self {
        Self::new(ports, expectations, None)
    }

    pub(crate) fn new(ports: Ports, expectations: Expectations, kept: Option<(Store, Rc<Shelf>)>) -> Self {
        let meter = Rc::new(Meter::new(ports.clock.clone()));
        Self {
            ports,
            meter,
            expectations,
            kept,
            opened: RefCell::default(),
            missing: RefCell::default(),
            manifest: RefCell::default(),
        }
    }

    /// The manifest that was read; none where there is none.
    pub fn manifest(&self) -> Option<Rc<Manifest>> {
        self.manifest.borrow().clone()
    }

    pub(crate) fn adopt(&self, manifest: Option<Rc<Manifest>>) {
        self.manifest.replace(manifest);
    }

    /// What a file's digest must be, as the application or the manifest says.
    pub(crate) fn expected(&self, name: &str) -> Option<Digest> {
        let asked = self.expectations.digests.get(name).copied();
        asked.or_else(|| self.manifest.borrow().as_ref()?.file(name).map(|file| file.sha256))
    }

    /// Counts the bytes of this load.
    pub fn meter(&self) -> &Rc<Meter> {
        &self.meter
    }

    /// A name for what the version at hand holds; none where nothing is kept, or it is not complete.
    pub fn version(&self) -> Option<String> {
        self.shelf()?.version(|version| version.name().filter(|_| version.complete))
    }

    /// Whether the version before the current one is still kept.
    pub fn has_previous(&self) -> bool {
        self.shelf().is_some_and(|shelf| shelf.record.borrow().previous.is_some())
    }

    pub(crate) fn shelf(&self) -> Option<&Rc<Shelf>> {
        self.kept.as_ref().map(|(_, shelf)| shelf)
    }

    /// Opens the file `name`, which is at `url`; none where there is none. With `page_is_missing`, a web page is none either: many servers answer
    /// every unknown address with the application's page.
    pub async fn open(&self, name: &str, url: &str, page_is_missing: bool) -> Result<Option<Rc<dyn RangeReader>>> {
        let opened = self.opened.borrow().iter().find(|file| file.name == name).cloned();
        if let Some(opened) = opened {
            return Ok(Some(opened));
        }
        if self.manifest().is_some_and(|manifest| manifest.file(name).is_none()) && !is_of_manifest(name) {
            return Ok(None); // what the publisher does not list is no part of the model
        }
        let Some(shelf) = self.shelf() else { return self.open_remote(name, url, page_is_missing, None).await };
        let (record, is_absent) = shelf.version(|version| {
            let is_absent = version.complete && version.absent.iter().any(|absent| absent == name);
            (version.file(name).cloned(), is_absent)
        });
        match record {
            None if is_absent => Ok(None),
            None => self.open_remote(name, url, page_is_missing, None).await,
            Some(record) if record.digest.is_none() => {
                let begun = self.begun(shelf, record).await?;
                if begun.aheads.gap(begun.chunks.end()).0 == begun.record.size && !self.has_changed(&begun.record).await? {
                    // Everything was there but its line in the record.
                    let (size, room) = (begun.record.size, begun.record.size - begun.chunks.end());
                    match self.prepare(name, 0, room).await {
                        // Parts make room as they are read.
                        Err(error) if error.kind() == ErrorKind::StorageFull => {}
                        prepared => prepared?,
                    }
                    let known = Known { size, validator: &begun.record.validator };
                    let connection = Connection::at_end(self.net(), name, url, &known);
                    return Ok(Some(self.go_on(begun, connection)));
                }
                self.open_remote(name, url, page_is_missing, Some(begun)).await
            }
            Some(record) => {
                let expected = self.expected(name);
                let is_expected = expected.is_none_or(|expected| record.digest == Some(expected));
                // Files of two versions make no model: what an interrupted load has left is compared with what the server has now, unless its digest
                // is known.
                let is_certain = expected.is_some() || shelf.version(|version| version.complete);
                if is_expected && (is_certain || !self.has_changed(&record).await?) {
                    match self.open_stored(shelf, record).await {
                        // Damaged beyond repair: it is fetched like one that was never here.
                        Err(error) if error.kind() == ErrorKind::Integrity => {}
                        opened => return opened.map(Some),
                    }
                }
                shelf.drop_file(name).await?;
                self.open_remote(name, url, page_is_missing, None).await
            }
        }
    }

    /// Whether the server says that it has another version of a file; where it can't be asked, it does not say so.
    async fn has_changed(&self, record: &FileRecord) -> Result<bool> {
        let get = Get { url: record.url.clone(), from: 0, until: None, if_range: None, head_only: true };
        let answer = within(self.ports.clock.as_ref(), STALL_MS, self.ports.network.get(&get)).await;
        match answer {
            Some(Ok(answer)) => Ok(answer.status() == 200 && !Validator::of(answer.as_ref()).agrees(&record.validator)),
            Some(Err(error)) if error.kind() != ErrorKind::DownloadFailed => Err(error),
            _ => Ok(false),
        }
    }

    /// Opens a file that is stored whole.
    async fn open_stored(&self, shelf: &Rc<Shelf>, record: FileRecord) -> Result<Rc<dyn RangeReader>> {
        let mut chunks =
            ChunkFile::open(&shelf.files, &shelf.folder, &slot_names(record.slot), record.size, record.chunk_bytes).await?;
        if let (Some(digest), Some(sums)) = (record.digest, record.sums) {
            chunks.unseal(digest, sums).await?;
        }
        Ok(self.add((record, Some((shelf.clone(), chunks))), None))
    }

    /// Finds what an earlier visit stored of a file.
    async fn begun(&self, shelf: &Rc<Shelf>, record: FileRecord) -> Result<Begun> {
        let mut chunks =
            ChunkFile::open(&shelf.files, &shelf.folder, &slot_names(record.slot), record.size, record.chunk_bytes).await?;
        let mut running = RunningDigest::default();
        // Where nothing tells whether the server still has the same file, one chunk is fetched again and compared.
        let resumed = chunks.resume(&mut running, !record.validator.is_known()).await?;
        let aheads = self.aheads(shelf, &record, chunks.end()).await?;
        self.meter.found(chunks.end());
        Ok(Begun { record, shelf: shelf.clone(), chunks, running, resumed, aheads })
    }

    /// What lies ahead of the byte `end` of a file. A device that is to save data fetches no more ahead.
    async fn aheads(&self, shelf: &Rc<Shelf>, record: &FileRecord, end: u64) -> Result<Aheads> {
        let may_grow = self.expectations.unasked_bytes.is_none();
        Aheads::resume(shelf, record, (self.meter.clone(), self.ports.clock.clone()), (end, may_grow)).await
    }

    /// Opens a file over the network, behind what an earlier visit stored of it.
    async fn open_remote(
        &self,
        name: &str,
        url: &str,
        page_is_missing: bool,
        begun: Option<Begun>,
    ) -> Result<Option<Rc<dyn RangeReader>>> {
        let start = match begun {
            None => Connection::open(self.net(), name, url, (0, None), None).await?,
            Some(begun) => {
                let (end, size) = (begun.chunks.end(), begun.record.size);
                let gap = begun.aheads.gap(end);
                let known = Known { size, validator: &begun.record.validator };
                match Connection::open(self.net(), name, url, gap, Some(known)).await? {
                    Start::Same(mut connection, answer) => {
                        // What lies in parts is there, but not in its place yet.
                        let missing = (size - end).saturating_sub(begun.aheads.bytes_behind(end));
                        self.prepare(name, missing, size - end).await?;
                        connection.stream(answer, size, begun.record.validator.clone());
                        return Ok(Some(self.go_on(begun, connection)));
                    }
                    start => {
                        drop(begun);
                        if let Some(shelf) = self.shelf() {
                            shelf.drop_file(name).await?;
                        }
                        start
                    }
                }
            }
        };
        let (Start::Same(connection, answer) | Start::Changed(connection, answer)) = start else {
            self.missing.borrow_mut().push(name.to_owned());
            return Ok(None);
        };
        let kind = answer.header("content-type").unwrap_or_default();
        if page_is_missing && kind.starts_with("text/html") {
            self.missing.borrow_mut().push(name.to_owned());
            return Ok(None);
        }
        let validator = Validator::of(answer.as_ref());
        if let Some(known) = self.unchanged(name, answer.as_ref()).await? {
            return Ok(Some(known));
        }
        match whole_size(name, answer.as_ref()) {
            Some(size) => {
                let file = self.begin(name, url, size, validator.clone()).await?;
                let mut connection = connection;
                connection.stream(answer, size, validator);
                let mut download = Download::new(connection, 0, self.ports.clock.now_ms());
                if let (record, Some((shelf, _))) = &file {
                    download.aheads = Some(self.aheads(shelf, record, 0).await?);
                }
                Ok(Some(self.add(file, Some(download))))
            }
            None => self.keep_whole(name, url, &connection, answer, validator).await.map(Some),
        }
    }

    /// While a newer version is fetched: the file of the current one, where the server says that it did not change.
    async fn unchanged(&self, name: &str, answer: &dyn Answer) -> Result<Option<Rc<dyn RangeReader>>> {
        let Some(shelf) = self.shelf().filter(|shelf| shelf.which == Which::Candidate) else { return Ok(None) };
        let is_same = shelf.record.borrow().current.file(name).is_some_and(|file| self.is_same(file, answer));
        if !is_same || !shelf.share(name).await? {
            return Ok(None);
        }
        match shelf.version(|version| version.file(name).cloned()) {
            Some(file) => self.open_stored(shelf, file).await.map(Some),
            None => Ok(None),
        }
    }

    /// Whether an answer's head says for certain that it is of the file that is stored, and that is the one that is wanted.
    pub(crate) fn is_same(&self, file: &FileRecord, answer: &dyn Answer) -> bool {
        let is_wanted = self.expected(&file.name).is_none_or(|expected| Some(expected) == file.digest);
        let has_its_size = whole_size(&file.name, answer).is_none_or(|size| size == file.size);
        is_wanted && has_its_size && file.validator.vouches_for(&Validator::of(answer))
    }

    /// Refuses to fetch `bytes` where nobody asked for so many, and makes `room`, also in bytes, for what is to be stored.
    async fn prepare(&self, name: &str, bytes: u64, room: u64) -> Result<()> {
        if self.expectations.unasked_bytes.is_some_and(|limit| bytes > limit) {
            let detail = format!(
                "{name}: this device is to save data, and {} are still to be fetched; ask the person, then load with dataSaver: \"ignore\"",
                format_bytes(bytes)
            );
            return Err(Error::new(ErrorKind::OverBudget, detail));
        }
        match &self.kept {
            Some((store, shelf)) => store.make_room(room, &shelf.folder).await,
            None => Ok(()),
        }
    }

    /// Makes a place for a file whose size is known.
    async fn begin(&self, name: &str, url: &str, size: u64, validator: Validator) -> Result<Place> {
        if let Some(listed) = self.manifest().as_ref().and_then(|manifest| manifest.file(name))
            && listed.bytes != size
        {
            let detail = format!(
                "{name}: the manifest says {} bytes, the server has {size}; one of them is of another version",
                listed.bytes
            );
            return Err(Error::new(ErrorKind::Integrity, detail));
        }
        self.prepare(name, size, size).await?;
        let mut record = FileRecord {
            name: name.into(),
            url: url.into(),
            slot: 0,
            size,
            chunk_bytes: CHUNK_BYTES,
            validator,
            digest: None,
            sums: None,
        };
        let Some((store, shelf)) = &self.kept else { return Ok((record, None)) };
        record.chunk_bytes = store.chunk_bytes();
        loop {
            match Self::make_place(shelf, &mut record).await {
                // The estimate was wrong.
                Err(error) if error.kind() == ErrorKind::StorageFull && store.evict_oldest(&shelf.folder).await? => {}
                made => return made.map(|chunks| (record, Some((shelf.clone(), chunks)))),
            }
        }
    }

    async fn make_place(shelf: &Rc<Shelf>, record: &mut FileRecord) -> Result<ChunkFile> {
        let _turn = shelf.turn().await?;
        record.slot = shelf.take_slot();
        let chunks =
            ChunkFile::create(&shelf.files, &shelf.folder, &slot_names(record.slot), record.size, record.chunk_bytes).await?;
        shelf.change(|version| version.put(record.clone()));
        shelf.write().await?;
        Ok(chunks)
    }

    /// Reads a file of unknown length at once, and keeps it.
    async fn keep_whole(
        &self,
        name: &str,
        url: &str,
        connection: &Connection,
        answer: Box<dyn Answer>,
        validator: Validator,
    ) -> Result<Rc<dyn RangeReader>> {
        let bytes = connection.drain(answer, UNSIZED_LIMIT_BYTES).await?;
        self.meter.fetched(bytes.len());
        if self.kept.is_none() {
            if let Some(expected) = self.expected(name) {
                require_digest(name, expected, Digest::of(&bytes))?;
            }
            return Ok(Rc::new(MemoryReader::new(name, bytes)));
        }
        let size = bytes.len() as u64;
        let connection = Connection::at_end(self.net(), name, url, &Known { size, validator: &validator });
        let place = self.begin(name, url, size, validator).await?;
        let mut download = Download::new(connection, 0, self.ports.clock.now_ms());
        download.window = bytes;
        let file = self.add(place, Some(download));
        file.finish().await?;
        Ok(file)
    }

    fn go_on(&self, begun: Begun, connection: Connection) -> Rc<dyn RangeReader> {
        let Begun { record, shelf, chunks, running, resumed, aheads } = begun;
        let mut download = Download::new(connection, chunks.stored_bytes(), self.ports.clock.now_ms());
        download.window = resumed.part;
        download.running = running;
        download.aheads = Some(aheads);
        download.repeated = resumed.repeated;
        self.add((record, Some((shelf, chunks))), Some(download))
    }

    fn net(&self) -> (Rc<dyn Network>, Rc<dyn Clock>) {
        (self.ports.network.clone(), self.ports.clock.clone())
    }

    fn add(&self, (record, kept): Place, download: Option<Download>) -> Rc<ModelFile> {
        let expected = self.expected(&record.name);
        let file = Rc::new(ModelFile {
            ports: self.ports.clone(),
            meter: self.meter.clone(),
            name: record.name.clone(),
            size: record.size,
            store: self.kept.as_ref().map(|(store, _)| store.clone()),
            reading: RefCell::new(Some(Reading::new(record, kept, download, expected))),
        });
        self.opened.borrow_mut().push(file.clone());
        file
    }

    /// Before a load of the current version, while the version before is kept: writes down that it is tried, until [`OpenModel::finish`] or
    /// [`OpenModel::fail`]. Where earlier tries never ended, the version before comes back, and this tells why.
    pub async fn begin_try(&self) -> Result<Option<String>> {
        match self.shelf() {
            Some(shelf) => shelf.begin_try().await,
            None => Ok(None),
        }
    }

    /// After a load that succeeded: fetches what no read has asked for yet, and writes down that the model is complete.
    pub async fn finish(&self) -> Result<()> {
        let opened = self.opened.borrow().clone();
        for file in opened {
            file.finish().await?;
        }
        let Some((store, shelf)) = &self.kept else { return Ok(()) };
        let was_complete = shelf.version(|version| version.complete);
        shelf.change(|version| {
            version.complete = true;
            version.absent.extend(self.missing.take());
            eyas_core::sort(&mut version.absent);
            version.absent.dedup();
        });
        shelf.record.borrow_mut().last_used_ms = store.now_ms();
        if shelf.which == Which::Current {
            shelf.record.borrow_mut().tries = 0;
        }
        match shelf.save().await {
            // What is whole needs no room to be used; that it was used now is forgotten.
            Err(error) if was_complete && error.kind() == ErrorKind::StorageFull => Ok(()),
            saved => saved.map(|()| shelf)?.sweep().await,
        }
    }

    /// After a load that failed: what was fetched stays for the next attempt, unless the files themselves were at fault. Then they go; a current
    /// version that never answered makes way for the one before it, and `true` says so.
    pub async fn fail(&self, error: &Error) -> Result<bool> {
        let Some((store, shelf)) = &self.kept else { return Ok(false) };
        let kinds = [ErrorKind::BadModel, ErrorKind::ModelNotFound, ErrorKind::UnsupportedModel, ErrorKind::Integrity];
        if !kinds.contains(&error.kind()) {
            shelf.end_try().await?;
            return Ok(false);
        }
        self.opened.take(); // closes the files
        if shelf.which == Which::Candidate {
            shelf.give_up_candidate().await?;
            return Ok(false);
        }
        if shelf.roll_back().await? {
            return Ok(true);
        }
        if !shelf.version(|version| version.complete) {
            store.discard(shelf).await?;
        }
        Ok(false)
    }

    /// Makes the version at hand, which was fetched and tried, the one that loads use. The one before it is kept until [`OpenModel::settle`].
    pub async fn promote(&self) -> Result<()> {
        match self.shelf() {
            Some(shelf) => shelf.promote().await,
            None => Ok(()),
        }
    }

    /// After an answer of the current version: the one before it goes.
    pub async fn settle(&self) -> Result<()> {
        match self.shelf() {
            Some(shelf) => shelf.settle().await,
            None => Ok(()),
        }
    }
}

/// A file's record, and where it is kept, if it is.
type Place = (FileRecord, Option<(Rc<Shelf>, ChunkFile)>);

/// What an earlier visit stored of a file.
struct Begun {
    record: FileRecord,
    shelf: Rc<Shelf>,
    chunks: ChunkFile,
    running: RunningDigest,
    resumed: Resumed,
    aheads: Aheads,
}

/// A file's size as an answer with the whole file tells it. A compressed body's length is not the file's, and another origin's answer hides that it
/// is compressed: text is read to its end.
pub(crate) fn whole_size(name: &str, answer: &dyn Answer) -> Option<u64> {
    let is_text = [".json", ".jinja"].iter().any(|ending| name.ends_with(ending));
    if is_text || answer.header("content-encoding").is_some() {
        return None;
    }
    number(answer, "content-length")
}
