//! Fetching a newer version of a model beside the one that loads use.

use std::rc::Rc;

use eyas_core::{Error, ErrorKind, Result, within};

use crate::{
    Expectations, FileRecord, Get, MANIFEST_NAME, Manifest, Meter, OpenModel, Ports, Store, Version, connection::STALL_MS,
    open_model::whole_size, read_manifest::is_of_manifest,
};

/// A file is fetched in steps of so many bytes, with a report behind each.
const STEP_BYTES: u64 = 1 << 20;

/// What the server has beside what is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Newer {
    /// The same.
    Nothing,
    /// Another version. All of its files that the current one has too are here now, beside those; a load of [`crate::Which::Candidate`] tries it.
    Fetched,
}

/// How far an update is.
pub struct Fetching<'a> {
    /// The file at hand.
    pub name: &'a str,
    /// Bytes of files that differ, as far as they are here.
    pub loaded_bytes: u64,
    /// Bytes of all files that differ, as far as the server told their sizes.
    pub total_bytes: u64,
    /// Counts what came over the network.
    pub meter: &'a Rc<Meter>,
}

/// What the head of an answer says of a stored file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Same,
    /// Other bytes, or nobody can tell; so many, where the server says so.
    Differs(Option<u64>),
    Gone,
}

impl Store {
    /// Fetches what the server has of a model's newer version, beside the current one, whose loads go on undisturbed. What is the same costs one request
    /// without a body; a file whose `sha256` is expected, and is the stored one's, costs none. Where it breaks off, the next call goes on with what is
    /// there.
    ///
    /// # Errors
    ///
    /// `model-not-found` where the model is not complete on this device; `download-failed`, `storage-full`, `integrity` (a file is not the expected one)
    /// and `over-budget` (the device is to save data) leave the current version as it is.
    pub async fn fetch_newer(
        &self,
        id: &str,
        ports: Ports,
        expectations: Expectations,
        report: &dyn Fn(Fetching<'_>),
    ) -> Result<Newer> {
        let model = self.open_beside(id, ports, expectations).await?;
        let fetched = model.fetch_newer(id, report).await;
        if let Err(error) = &fetched {
            // What the store makes of it does not hide why the update failed.
            let _ = model.fail(error).await;
        }
        fetched
    }
}

impl OpenModel {
    async fn fetch_newer(&self, id: &str, report: &dyn Fn(Fetching<'_>)) -> Result<Newer> {
        let Some(shelf) = self.shelf().cloned() else { return Ok(Newer::Nothing) };
        let current = shelf.record.borrow().current.clone();
        let standings = match self.newer_manifest(&current).await? {
            Described::Same => Vec::new(),
            Described::By(manifest) => listed(&manifest, &current),
            Described::Not => self.standings(&current, id).await?,
        };
        if standings.iter().all(|listed| listed.standing == Standing::Same) && self.manifest().is_none() {
            shelf.give_up_candidate().await?;
            return Ok(Newer::Nothing);
        }
        shelf.change(|candidate| {
            candidate.files.retain(|file| {
                if is_of_manifest(&file.name) {
                    return self.manifest().is_some();
                }
                let listed = standings.iter().find(|listed| listed.name == file.name);
                listed.is_some_and(|listed| matches!(listed.standing, Standing::Differs(_)))
            });
        });
        let total_bytes = standings.iter().map(|listed| listed.standing.bytes()).sum();
        let mut before_bytes = 0;
        for Listed { name, url, standing } in &standings {
            match standing {
                Standing::Same if shelf.share(name).await? => {}
                Standing::Gone => {}
                _ => {
                    let told = |loaded_bytes| report(Fetching { name, loaded_bytes, total_bytes, meter: &self.meter });
                    self.fetch_file(name, url, &|bytes| told(before_bytes + bytes)).await?;
                    before_bytes += standing.bytes();
                }
            }
        }
        if shelf.version(Version::name) != current.name() {
            return Ok(Newer::Fetched);
        }
        // The same bytes under other validators: these are what the next update compares.
        let candidate = shelf.version(Version::clone);
        let turn = shelf.turn().await?;
        for file in &mut shelf.record.borrow_mut().current.files {
            if let Some(fetched) = candidate.file(&file.name).filter(|fetched| fetched.digest == file.digest) {
                file.validator = fetched.validator.clone();
            }
        }
        shelf.record.borrow_mut().candidate = None;
        shelf.write().await?;
        shelf.sweep().await?;
        drop(turn);
        Ok(Newer::Nothing)
    }

    /// What the publisher says of the newer version, in place of the heads of all its files.
    async fn newer_manifest(&self, current: &Version) -> Result<Described> {
        let wish = &self.expectations.manifest;
        let Some(url) = &wish.url else { return self.read_manifest().await.map(|_| Described::Not) };
        let stored = current.file(MANIFEST_NAME);
        let is_wanted = |file: &FileRecord| {
            self.expectations.digests.get(&file.name).is_none_or(|wanted| Some(wanted) == file.digest.as_ref())
        };
        match self.standing(stored, url).await? {
            Standing::Same if current.files.iter().all(is_wanted) => Ok(Described::Same),
            Standing::Gone if wish.signature.is_none() => Ok(Described::Not),
            _ => {
                let manifest = self.read_manifest().await?;
                self.close_whole().await?;
                Ok(manifest.map_or(Described::Not, Described::By))
            }
        }
    }

    /// Finishes the files that are open, and closes them, so that a load can open what both versions have.
    async fn close_whole(&self) -> Result<()> {
        for file in self.opened.take() {
            file.finish().await?;
        }
        Ok(())
    }

    /// How the files of the current version stand against the server's.
    async fn standings(&self, current: &Version, id: &str) -> Result<Vec<Listed>> {
        let mut standings = Vec::new();
        for file in current.files.iter().filter(|file| !is_of_manifest(&file.name)) {
            let (name, url) = (file.name.clone(), file.url.clone());
            let standing = self.standing(Some(file), &url).await?;
            standings.push(Listed { name, url, standing });
        }
        // Only a folder's address tells where a file would be that it did not have.
        for name in current.absent.iter().filter(|name| id.ends_with('/') && !is_of_manifest(name)) {
            let url = format!("{id}{name}");
            let standing = self.standing(None, &url).await?;
            if standing != Standing::Gone {
                standings.push(Listed { name: name.clone(), url, standing });
            }
        }
        Ok(standings)
    }

    async fn fetch_file(&self, name: &str, url: &str, report: &dyn Fn(u64)) -> Result<()> {
        if self.open(name, url, true).await?.is_none() {
            return Ok(());
        }
        let opened = self.opened.borrow().clone();
        for file in opened {
            let mut end = 0;
            while end < file.size {
                end = (end + STEP_BYTES).min(file.size);
                file.advance(end).await?;
                report(end);
            }
        }
        self.close_whole().await
    }

    /// Asks the server for a file's head, and compares.
    async fn standing(&self, stored: Option<&FileRecord>, url: &str) -> Result<Standing> {
        let expected = stored.and_then(|file| self.expected(&file.name));
        if expected.is_some() && expected == stored.and_then(|file| file.digest) {
            return Ok(Standing::Same);
        }
        let get = Get { url: url.to_owned(), from: 0, until: None, if_range: None, head_only: true };
        let failed = |what: &str| Error::new(ErrorKind::DownloadFailed, format!("{what} ({url})"));
        let answer = within(self.ports.clock.as_ref(), STALL_MS, self.ports.network.get(&get)).await;
        let answer = answer.unwrap_or_else(|| Err(failed("the server did not answer in time")))?;
        match answer.status() {
            200 => {}
            404 | 410 => return Ok(Standing::Gone),
            403 if stored.is_none() => return Ok(Standing::Gone), // some servers of objects say so of what is not there
            405 | 501 => return Ok(Standing::Differs(None)),      // it knows no HEAD
            status => return Err(failed(&format!("the server answered with status {status}"))),
        }
        let is_page = answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html"));
        Ok(match stored {
            None if is_page => Standing::Gone,
            Some(file) if self.is_same(file, answer.as_ref()) => Standing::Same,
            _ => Standing::Differs(whole_size(url, answer.as_ref())),
        })
    }
}

/// A file of the newer version.
struct Listed {
    name: String,
    url: String,
    standing: Standing,
}

/// What a manifest says of the newer version.
enum Described {
    /// It is the one that is stored, and so is all that it lists.
    Same,
    By(Rc<Manifest>),
    /// There is none.
    Not,
}

/// How the files of the current version stand against what a manifest lists. A file that no load has asked for yet is fetched by the trial, if that
/// asks for it.
fn listed(manifest: &Manifest, current: &Version) -> Vec<Listed> {
    let mut all = Vec::new();
    for stored in current.files.iter().filter(|file| !is_of_manifest(&file.name)) {
        let standing = match manifest.file(&stored.name) {
            None => Standing::Gone,
            Some(file) if stored.digest == Some(file.sha256) => Standing::Same,
            Some(file) => Standing::Differs(Some(file.bytes)),
        };
        all.push(Listed { name: stored.name.clone(), url: stored.url.clone(), standing });
    }
    all
}

impl Standing {
    fn bytes(self) -> u64 {
        match self {
            Self::Differs(bytes) => bytes.unwrap_or_default(),
            Self::Same | Self::Gone => 0,
        }
    }
}
