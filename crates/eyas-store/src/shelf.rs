//! A model's place in the store, while this load has its lock.

use std::{any::Any, cell::RefCell, rc::Rc};

use eyas_core::{Error, ErrorKind, Result};

use crate::{
    FileRecord, FileSystem, ModelRecord, Version,
    chunk_file::FileKind,
    record_book::{read_record, write_record},
};

/// So often in a row a person may leave in the middle of a new version's first load or answer, before that counts as its fault.
const MAX_TRIES: u32 = 3;

/// Which version of a model a load works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The one that loads use.
    Current,
    /// A newer one that is being fetched or tried.
    Candidate,
}

pub(crate) struct Shelf {
    pub(crate) files: Rc<dyn FileSystem>,
    pub(crate) folder: String,
    pub(crate) which: Which,
    pub(crate) record: RefCell<ModelRecord>,
    /// Whether only the candidate is this one's: loads of the current version go on meanwhile, and whatever is written takes its turn with them.
    pub(crate) takes_turns: bool,
    /// End with the shelf.
    pub(crate) _locks: Vec<Box<dyn Any>>,
}

impl Shelf {
    /// Looks at the version at hand.
    pub(crate) fn version<T>(&self, look: impl FnOnce(&Version) -> T) -> T {
        let record = self.record.borrow();
        match self.which {
            Which::Current => look(&record.current),
            Which::Candidate => look(record.candidate.as_ref().unwrap_or(&Version::default())),
        }
    }

    /// Changes the version at hand; it counts when [`Shelf::save`] returned.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Version)) {
        let mut record = self.record.borrow_mut();
        match self.which {
            Which::Current => change(&mut record.current),
            Which::Candidate => change(record.candidate.get_or_insert_default()),
        }
    }

    pub(crate) fn take_slot(&self) -> u32 {
        let mut record = self.record.borrow_mut();
        record.next_slot += 1;
        record.next_slot - 1
    }

    /// Waits until nobody else works on the model, and takes over what others made of its record meanwhile. The turn ends with the returned value;
    /// there is none to be taken where the whole model is this one's.
    pub(crate) async fn turn(&self) -> Result<Option<Box<dyn Any>>> {
        if !self.takes_turns {
            return Ok(None);
        }
        let turn = self.files.lock(&self.folder, true).await?;
        let Some(mut fresh) = read_record(self.files.as_ref(), &self.folder).await? else {
            return Err(Error::new(
                ErrorKind::ModelNotFound,
                "the model was removed from this device while it was being updated",
            ));
        };
        let mut record = self.record.borrow_mut();
        fresh.candidate = record.candidate.take();
        fresh.next_slot = fresh.next_slot.max(record.next_slot);
        *record = fresh;
        Ok(turn)
    }

    /// Makes what was changed count.
    pub(crate) async fn save(&self) -> Result<()> {
        let _turn = self.turn().await?;
        self.write().await
    }

    /// As [`Shelf::save`], for one that has its turn.
    pub(crate) async fn write(&self) -> Result<()> {
        // Lent to nobody while it is written: the shelf has the lock, and a load does one thing at a time.
        let mut record = self.record.borrow().clone();
        write_record(self.files.as_ref(), &self.folder, &mut record).await?;
        self.record.borrow_mut().sequence = record.sequence;
        Ok(())
    }

    /// Removes files that no version knows: what an interrupted load, a changed file or a past update left, and what was fetched ahead of a file that is
    /// complete.
    pub(crate) async fn sweep(&self) -> Result<()> {
        for name in self.files.names(&self.folder).await? {
            let is_used = match FileKind::of(&name) {
                None => true,
                Some(FileKind::Whole { slot }) => self.record.borrow().uses(slot),
                Some(FileKind::Part { slot, .. }) => self.record.borrow().is_begun(slot),
            };
            if !is_used {
                self.files.remove(&self.folder, Some(&name)).await?;
            }
        }
        Ok(())
    }

    /// Takes a file out of the version at hand, and its bytes off the device unless another version has them too.
    pub(crate) async fn drop_file(&self, name: &str) -> Result<()> {
        let slot = self.version(|version| version.file(name).map(|file| file.slot));
        self.change(|version| {
            version.files.retain(|file| file.name != name);
            version.complete = false;
        });
        self.save().await?;
        match slot {
            Some(slot) if !self.record.borrow().uses(slot) => self.remove_slot(slot).await,
            _ => Ok(()),
        }
    }

    async fn remove_slot(&self, slot: u32) -> Result<()> {
        for name in self.files.names(&self.folder).await? {
            if FileKind::of(&name).is_some_and(|kind| kind.slot() == slot) {
                self.files.remove(&self.folder, Some(&name)).await?;
            }
        }
        Ok(())
    }

    /// Puts a file into the version at hand, and writes that down.
    pub(crate) async fn keep(&self, file: FileRecord) -> Result<()> {
        self.change(|version| version.put(file));
        self.save().await
    }

    /// Takes the newer version back, and everything that only it has.
    pub(crate) async fn give_up_candidate(&self) -> Result<()> {
        self.record.borrow_mut().candidate = None;
        let _turn = self.turn().await?;
        self.write().await?;
        self.sweep().await
    }

    /// Puts the current version's file of this name into the candidate; false where it has none that is complete.
    pub(crate) async fn share(&self, name: &str) -> Result<bool> {
        let _turn = self.turn().await?;
        let file = self.record.borrow().current.file(name).filter(|file| file.digest.is_some()).cloned();
        let Some(file) = file else { return Ok(false) };
        self.change(|version| version.put(file));
        self.write().await?;
        Ok(true)
    }

    /// Puts the complete candidate in the place of the current version.
    pub(crate) async fn promote(&self) -> Result<()> {
        {
            let mut record = self.record.borrow_mut();
            let Some(candidate) = record.candidate.take_if(|candidate| candidate.complete) else {
                return Err(Error::internal(
                    "there is no newer version that was fetched; expected one that a load has completed",
                ));
            };
            record.previous = Some(std::mem::replace(&mut record.current, candidate));
            record.tries = 0;
        }
        self.save().await?;
        self.sweep().await
    }

    /// Puts the version before the current one back; false where there is none.
    pub(crate) async fn roll_back(&self) -> Result<bool> {
        {
            let mut record = self.record.borrow_mut();
            let Some(previous) = record.previous.take() else { return Ok(false) };
            record.current = previous;
            record.tries = 0;
        }
        self.save().await?;
        self.sweep().await?;
        Ok(true)
    }

    /// Gives up the version before the current one.
    pub(crate) async fn settle(&self) -> Result<()> {
        if self.record.borrow_mut().previous.take().is_none() {
            return Ok(());
        }
        self.record.borrow_mut().tries = 0;
        self.save().await?;
        self.sweep().await
    }

    /// Writes down that the current version is being tried. Where it was tried before and that never ended, too often to be chance, the version before
    /// comes back, and this tells why. Nothing happens where no version is kept before it.
    pub(crate) async fn begin_try(&self) -> Result<Option<String>> {
        let tries = self.record.borrow().tries;
        if self.record.borrow().previous.is_none() || self.which == Which::Candidate {
            return Ok(None);
        }
        if tries >= MAX_TRIES {
            self.roll_back().await?;
            return Ok(Some(format!(
                "{tries} visits in a row ended in the middle of the new version's load or of its first answer"
            )));
        }
        self.record.borrow_mut().tries = tries + 1;
        match self.save().await {
            // A full device is no reason not to use what it has.
            Err(error) if error.kind() == ErrorKind::StorageFull => self.record.borrow_mut().tries = tries,
            saved => saved?,
        }
        Ok(None)
    }

    /// The try came to an end, whatever it was.
    pub(crate) async fn end_try(&self) -> Result<()> {
        if self.which == Which::Candidate || std::mem::take(&mut self.record.borrow_mut().tries) == 0 {
            return Ok(());
        }
        self.save().await
    }
}
