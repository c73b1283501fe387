//! A device, a network and a clock that do what a seed says: cut power, lose writes, break connections.

mod device;
mod internet;
mod line;
mod random;

use std::{cell::Cell, rc::Rc};

pub use device::{Cut, Device, cut_error};
use eyas_store::{Clock, Expectations, OpenModel, Ports, Store, Which};
use eyas_weights::LocalFuture;
pub use internet::{Internet, Remote};
pub use line::{Fault, Line, TurnsClock};
pub use random::Random;

/// Bytes of a chunk in these tests.
pub const CHUNK: u32 = 64;
/// What the tests call their model.
pub const MODEL: &str = "https://models.test/m/";

/// Time passes by sleeping, and as the network's pieces come; none of it takes any.
#[derive(Default)]
pub struct Time(Cell<f64>);

impl Time {
    fn pass(&self, ms: f64) {
        self.0.set(self.0.get() + ms);
    }
}

impl Clock for Time {
    fn now_ms(&self) -> f64 {
        self.0.get()
    }

    fn unix_ms(&self) -> f64 {
        self.pass(1.0); // two loads are never at the same time
        self.0.get()
    }

    fn sleep(&self, ms: f64) -> LocalFuture<'static, ()> {
        self.pass(ms);
        Box::pin(std::future::ready(()))
    }
}

/// A device with a store, and what is around it.
pub struct World {
    pub device: Rc<Device>,
    pub internet: Rc<Internet>,
    pub time: Rc<Time>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let time = Rc::<Time>::default();
        let internet = Rc::new(Internet::new(seed ^ 0x5eed, time.clone()));
        Self { device: Rc::new(Device::new(seed)), internet, time }
    }

    pub fn store(&self) -> Store {
        Store::new(self.device.clone(), self.time.clone()).with_chunk_bytes(CHUNK)
    }

    pub fn ports(&self) -> Ports {
        Ports { network: self.internet.clone(), clock: self.time.clone() }
    }

    /// Puts a file of the model on a server that knows all that servers should.
    pub fn publish(&self, name: &str, bytes: &[u8]) {
        self.internet.put(&format!("{MODEL}{name}"), Remote::plain(bytes.to_vec()));
    }

    pub async fn open(&self, id: &str, which: Which) -> eyas_core::Result<OpenModel> {
        self.store().open(id, which, true, self.ports(), Expectations::default()).await
    }
}

/// Reads every file of a model as a load does, mostly in order, and finishes it. Returns the bytes that were read, by file.
pub async fn load(model: &OpenModel, files: &[String], random: &mut Random) -> eyas_core::Result<Vec<Option<Vec<u8>>>> {
    let mut readers = Vec::new();
    for name in files {
        readers.push(model.open(name, &format!("{MODEL}{name}"), true).await?);
    }
    let mut seen = Vec::new();
    for reader in readers {
        let Some(reader) = reader else {
            seen.push(None);
            continue;
        };
        let size = reader.size();
        let mut bytes = vec![0; size as usize];
        let mut at = 0;
        while at < size {
            let length = random.below(200).min(size - at);
            let part = reader.read(at, length as usize).await?;
            bytes[at as usize..(at + length) as usize].copy_from_slice(&part);
            at += length;
            if random.chance(8) {
                // A jump back to what was read, which must not have changed, and one forward.
                let from = random.below(at + 1);
                let length = random.below(at - from + 1);
                assert_eq!(reader.read(from, length as usize).await?, bytes[from as usize..(from + length) as usize]);
                let from = at + random.below(size - at + 1);
                reader.read(from, random.below(size - from + 1) as usize).await?;
            }
        }
        seen.push(Some(bytes));
    }
    model.finish().await?;
    Ok(seen)
}
