//! Storage that can be cut off in the middle of any change.

use std::{
    any::Any,
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use eyas_core::{Error, ErrorKind, Result};
use eyas_store::{FileSystem, StoreFile};
use eyas_weights::LocalFuture;

use super::Random;

/// How a session ends before its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    /// The tab is killed: what was written stays, the change at hand is done in part.
    Kill,
    /// The power goes: of what was not flushed, any part may be lost, in any order.
    Power,
}

#[derive(Clone)]
enum Change {
    Put(u64, Vec<u8>),
    Truncate(u64),
}

#[derive(Default, Clone)]
struct Stored {
    now: Vec<u8>,
    /// As of the last flush; none where the file was made since.
    durable: Option<Vec<u8>>,
    pending: Vec<Change>,
    is_removed: bool,
}

type Folders = BTreeMap<String, BTreeMap<String, Stored>>;

#[derive(Default)]
struct State {
    folders: Folders,
    locked: BTreeSet<String>,
    /// Files that are open, which no browser removes.
    open: Vec<(String, String)>,
    random: Option<Random>,
    /// Changes that were made.
    made: u64,
    /// Changes until the cut.
    left: Option<u64>,
    is_dead: bool,
    quota_bytes: Option<u64>,
    hides_quota: bool,
    /// Loads that are still to find what another tab's writing leaves in its middle.
    torn_loads: u32,
    /// A file that can't be read any more.
    unreadable: Option<String>,
}

pub struct Device(Rc<RefCell<State>>);

/// Whether a load failed because of a cut.
pub fn cut_error(error: &Error) -> bool {
    error.detail().contains("the device was cut off")
}

fn cut() -> Error {
    Error::internal("the device was cut off")
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Put(offset, part) => {
            let end = *offset as usize + part.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*offset as usize..end].copy_from_slice(part);
        }
        Change::Truncate(size) => bytes.resize(*size as usize, 0),
    }
}

impl State {
    fn alive(&self) -> Result<()> {
        if self.is_dead { Err(cut()) } else { Ok(()) }
    }

    /// Counts a change; `Err` with what is done of it where the cut comes now.
    fn change(&mut self) -> Result<(), u64> {
        if let Some(left) = &mut self.left {
            if *left == 0 {
                self.is_dead = true;
                return Err(self.random.as_mut().unwrap().next());
            }
            *left -= 1;
        }
        self.made += 1;
        Ok(())
    }

    fn used(&self) -> u64 {
        self.folders.values().flat_map(BTreeMap::values).filter(|file| !file.is_removed).map(|file| file.now.len() as u64).sum()
    }

    fn bytes(&self, folder: &str, name: &str) -> Option<&Vec<u8>> {
        self.folders.get(folder)?.get(name).filter(|file| !file.is_removed).map(|file| &file.now)
    }

    fn file(&mut self, folder: &str, name: &str) -> &mut Stored {
        self.folders.entry(folder.into()).or_default().entry(name.into()).or_default()
    }

    fn write(&mut self, folder: &str, name: &str, mut change: Change) -> Result<()> {
        self.alive()?;
        if let (Some(quota), Change::Put(offset, part)) = (self.quota_bytes, &change) {
            let size = self.file(folder, name).now.len() as u64;
            if self.used() - size + size.max(offset + part.len() as u64) > quota {
                return Err(Error::new(ErrorKind::StorageFull, "the quota is used up"));
            }
        }
        let cut_off = self.change();
        if let (Err(seed), Change::Put(_, part)) = (cut_off, &mut change) {
            let length = seed % (part.len() as u64 + 1);
            part.truncate(length as usize);
        }
        let file = self.file(folder, name);
        file.is_removed = false;
        apply(&mut file.now, &change);
        file.pending.push(change);
        cut_off.map_err(|_| cut())
    }

    fn flush(&mut self, folder: &str, name: &str) -> Result<()> {
        self.alive()?;
        self.change().map_err(|_| cut())?;
        let file = self.file(folder, name);
        file.durable = Some(file.now.clone());
        file.pending.clear();
        Ok(())
    }
}

impl Device {
    pub fn new(seed: u64) -> Self {
        Self(Rc::new(RefCell::new(State { random: Some(Random(seed)), ..State::default() })))
    }

    /// Cuts the device off after so many changes.
    pub fn cut_after(&self, changes: Option<u64>) {
        self.0.borrow_mut().left = changes;
    }

    /// How many changes were made, in all.
    pub fn changes(&self) -> u64 {
        self.0.borrow().made
    }

    pub fn set_quota(&self, bytes: Option<u64>) {
        self.0.borrow_mut().quota_bytes = bytes;
    }

    /// Says that there is room for ever, as Chromium's estimate does.
    pub fn hide_quota(&self) {
        self.0.borrow_mut().hides_quota = true;
    }

    /// Lets the next loads of small files find half of them, as while another tab writes them.
    pub fn tear_loads(&self, count: u32) {
        self.0.borrow_mut().torn_loads = count;
    }

    /// Lets every read of the files with this name fail.
    pub fn break_reads(&self, name: &str) {
        self.0.borrow_mut().unreadable = Some(name.into());
    }

    /// Starts anew after a cut.
    pub fn restart(&self, cut: Cut) {
        let mut state = self.0.borrow_mut();
        state.is_dead = false;
        state.left = None;
        state.locked.clear();
        let mut random = state.random.take().unwrap();
        for folder in state.folders.values_mut() {
            folder.retain(|_, file| {
                if cut == Cut::Power {
                    let mut bytes = file.durable.clone();
                    for change in &file.pending {
                        match random.below(3) {
                            0 => {}
                            1 => apply(bytes.get_or_insert_default(), change),
                            _ => {
                                let mut change = change.clone();
                                if let Change::Put(_, part) = &mut change {
                                    part.truncate(random.below(part.len() as u64 + 1) as usize);
                                }
                                apply(bytes.get_or_insert_default(), &change);
                            }
                        }
                    }
                    let comes_back = !file.is_removed || random.chance(2);
                    file.now = bytes.clone().unwrap_or_default();
                    file.is_removed = !(comes_back && bytes.is_some());
                }
                file.durable = Some(file.now.clone());
                file.pending.clear();
                !file.is_removed
            });
        }
        state.random = Some(random);
    }

    /// Every file with its size.
    pub fn listing(&self) -> Vec<(String, String, usize)> {
        let state = self.0.borrow();
        let files = state.folders.iter().flat_map(|(folder, files)| files.iter().map(move |(name, file)| (folder, name, file)));
        files
            .filter(|(_, _, file)| !file.is_removed)
            .map(|(folder, name, file)| (folder.clone(), name.clone(), file.now.len()))
            .collect()
    }

    /// Turns a bit over behind everybody's back.
    pub fn flip(&self, folder: &str, name: &str, bit: u64) {
        let mut state = self.0.borrow_mut();
        let file = state.file(folder, name);
        file.now[(bit / 8) as usize] ^= 1 << (bit % 8);
        file.durable = Some(file.now.clone());
    }
}

struct Open {
    state: Rc<RefCell<State>>,
    folder: String,
    name: String,
}

impl Open {
    fn new(state: &Rc<RefCell<State>>, folder: &str, name: &str) -> Self {
        state.borrow_mut().open.push((folder.into(), name.into()));
        Self { state: state.clone(), folder: folder.into(), name: name.into() }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.state.borrow_mut();
        let at = state.open.iter().position(|(folder, name)| *folder == self.folder && *name == self.name);
        if let Some(at) = at {
            state.open.swap_remove(at);
        }
    }
}

impl StoreFile for Open {
    fn size(&self) -> Result<u64> {
        let mut state = self.state.borrow_mut();
        state.alive()?;
        Ok(state.file(&self.folder, &self.name).now.len() as u64)
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<usize> {
        let mut state = self.state.borrow_mut();
        state.alive()?;
        if state.unreadable.as_ref() == Some(&self.name) {
            return Err(Error::internal("the device does not read this"));
        }
        let bytes = &state.file(&self.folder, &self.name).now;
        let part = bytes.get(offset as usize..).unwrap_or_default();
        let count = part.len().min(into.len());
        into[..count].copy_from_slice(&part[..count]);
        Ok(count)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.state.borrow_mut().write(&self.folder, &self.name, Change::Put(offset, bytes.to_vec()))
    }

    fn truncate(&self, size: u64) -> Result<()> {
        self.state.borrow_mut().write(&self.folder, &self.name, Change::Truncate(size))
    }

    fn flush(&self) -> Result<()> {
        self.state.borrow_mut().flush(&self.folder, &self.name)
    }
}

struct Lock(Rc<RefCell<State>>, String);

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.borrow_mut().locked.remove(&self.1);
    }
}

fn done<'a, T: 'a>(result: Result<T>) -> LocalFuture<'a, Result<T>> {
    Box::pin(std::future::ready(result))
}

impl FileSystem for Device {
    fn folders(&self) -> LocalFuture<'_, Result<Vec<String>>> {
        let state = self.0.borrow();
        let names = state.folders.iter().filter(|(_, files)| files.values().any(|file| !file.is_removed));
        done(state.alive().map(|()| names.map(|(name, _)| name.clone()).collect()))
    }

    fn names<'a>(&'a self, folder: &'a str) -> LocalFuture<'a, Result<Vec<String>>> {
        let state = self.0.borrow();
        let files = state.folders.get(folder).into_iter().flatten().filter(|(_, file)| !file.is_removed);
        done(state.alive().map(|()| files.map(|(name, _)| name.clone()).collect()))
    }

    fn size<'a>(&'a self, folder: &'a str, name: &'a str) -> LocalFuture<'a, Result<u64>> {
        let state = self.0.borrow();
        done(state.alive().map(|()| state.bytes(folder, name).map_or(0, |bytes| bytes.len() as u64)))
    }

    fn load<'a>(&'a self, folder: &'a str, name: &'a str) -> LocalFuture<'a, Result<Option<Vec<u8>>>> {
        let mut state = self.0.borrow_mut();
        let is_torn = state.torn_loads > 0;
        state.torn_loads = state.torn_loads.saturating_sub(1);
        let whole = state.bytes(folder, name);
        let bytes = whole.map(|bytes| if is_torn { bytes[..bytes.len() / 2].to_vec() } else { bytes.clone() });
        done(state.alive().map(|()| bytes))
    }

    fn save<'a>(&'a self, folder: &'a str, name: &'a str, bytes: &'a [u8]) -> LocalFuture<'a, Result<()>> {
        let mut state = self.0.borrow_mut();
        let saved = state
            .write(folder, name, Change::Truncate(0))
            .and_then(|()| state.write(folder, name, Change::Put(0, bytes.to_vec())))
            .and_then(|()| state.flush(folder, name));
        done(saved)
    }

    fn open<'a>(&'a self, folder: &'a str, name: &'a str) -> LocalFuture<'a, Result<Rc<dyn StoreFile>>> {
        let mut state = self.0.borrow_mut();
        let opened = state.alive().and_then(|()| state.change().map_err(|_| cut()));
        let file = state.file(folder, name);
        if file.is_removed {
            *file = Stored { pending: vec![Change::Truncate(0)], ..Stored::default() };
        }
        drop(state);
        done(opened.map(|()| Rc::new(Open::new(&self.0, folder, name)) as Rc<dyn StoreFile>))
    }

    fn remove<'a>(&'a self, folder: &'a str, name: Option<&'a str>) -> LocalFuture<'a, Result<()>> {
        let names = match name {
            Some(name) => vec![name.to_owned()],
            None => pollster::block_on(self.names(folder)).unwrap_or_default(),
        };
        let mut state = self.0.borrow_mut();
        let mut removed = state.alive();
        for name in names {
            if state.open.contains(&(folder.to_owned(), name.clone())) {
                continue;
            }
            removed = removed.and_then(|()| state.change().map_err(|_| cut()));
            if removed.is_ok()
                && let Some(file) = state.folders.get_mut(folder).and_then(|files| files.get_mut(&name))
            {
                file.is_removed = true;
            }
        }
        done(removed)
    }

    fn free_bytes(&self) -> LocalFuture<'_, Result<Option<u64>>> {
        let state = self.0.borrow();
        let quota = state.quota_bytes.filter(|_| !state.hides_quota);
        done(state.alive().map(|()| quota.map(|quota| quota.saturating_sub(state.used()))))
    }

    fn lock<'a>(&'a self, folder: &'a str, wait: bool) -> LocalFuture<'a, Result<Option<Box<dyn Any>>>> {
        let mut state = self.0.borrow_mut();
        let is_new = state.locked.insert(folder.into());
        assert!(is_new || !wait, "one thread would wait for itself");
        done(state.alive().map(|()| is_new.then(|| Box::new(Lock(self.0.clone(), folder.into())) as Box<dyn Any>)))
    }
}
