//! Fetching a newer version of a model beside the one that loads use.

use std::rc::Rc;

use eyas_core::{Error, ErrorKind, Result, within};

use crate::{
    Expectations, FileRecord, Get, Meter, OpenModel, Ports, Store, Version, connection::STALL_MS, open_model::whole_size,
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
        let mut standings = Vec::new();
        for file in &current.files {
            let url = file.url.clone();
            standings.push((file.name.clone(), url.clone(), self.standing(Some(file), &url).await?));
        }
        // Only a folder's address tells where a file would be that it did not have.
        for name in current.absent.iter().filter(|_| id.ends_with('/')) {
            let url = format!("{id}{name}");
            let standing = self.standing(None, &url).await?;
            if standing != Standing::Gone {
                standings.push((name.clone(), url, standing));
            }
        }
        if standings.iter().all(|(.., standing)| *standing == Standing::Same) {
            shelf.give_up_candidate().await?;
            return Ok(Newer::Nothing);
        }
        shelf.change(|candidate| {
            candidate.files.retain(|file| {
                let standing = standings.iter().find(|(name, ..)| *name == file.name);
                standing.is_some_and(|(.., standing)| matches!(standing, Standing::Differs(_)))
            });
        });
        let total_bytes = standings.iter().map(|(.., standing)| standing.bytes()).sum();
        let mut before_bytes = 0;
        for (name, url, standing) in &standings {
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

    async fn fetch_file(&self, name: &str, url: &str, report: &dyn Fn(u64)) -> Result<()> {
        if self.open(name, url, true).await?.is_none() {
            return Ok(());
        }
        // Closed when it is here, so that a load can open what both versions have.
        for file in self.opened.take() {
            let mut end = 0;
            while end < file.size {
                end = (end + STEP_BYTES).min(file.size);
                file.advance(end).await?;
                report(end);
            }
            file.finish().await?;
        }
        Ok(())
    }

    /// Asks the server for a file's head, and compares.
    async fn standing(&self, stored: Option<&FileRecord>, url: &str) -> Result<Standing> {
        let expected = stored.and_then(|file| self.expectations.digests.get(&file.name));
        if expected.is_some() && expected == stored.and_then(|file| file.digest.as_ref()) {
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

impl Standing {
    fn bytes(self) -> u64 {
        match self {
            Self::Differs(bytes) => bytes.unwrap_or_default(),
            Self::Same | Self::Gone => 0,
        }
    }
}
