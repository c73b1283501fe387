//! Every byte that left: when, where to, for which request, and why.

use std::{cell::RefCell, rc::Rc};

use serde::{Deserialize, Serialize};

use crate::Reason;

/// What became of a request that was handed to the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EgressOutcome {
    /// Handed to the network; nothing came back yet.
    Sent,
    /// The server answered: the bytes did arrive.
    Answered,
    /// The network failed or the request was given up before the server answered: the bytes may have arrived, in whole or in part.
    Unknown,
}

/// One request that was handed to the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EgressEntry {
    /// Numbers the entries of a ledger, from 1.
    pub id: u64,
    /// When, in milliseconds of the Unix epoch.
    pub unix_ms: f64,
    /// Scheme, host and port.
    pub origin: String,
    /// The request of the application that it served.
    pub request: u64,
    /// Which attempt of that request it was, from 1.
    pub attempt: u32,
    /// Bytes of the body. Headers hold the token and what the browser adds, nothing that a person typed.
    pub bytes: u64,
    /// Why the device did not answer.
    pub reason: Reason,
    /// The same in words.
    pub detail: String,
    /// What became of it.
    pub outcome: EgressOutcome,
}

/// Hears of every new entry and of every change of an outcome.
pub type EgressListener = Rc<dyn Fn(&EgressEntry)>;

/// The ledger of one engine. An entry is written before its bytes are handed over, so that a crash can't hide one.
#[derive(Default)]
pub struct EgressLedger {
    entries: RefCell<Vec<EgressEntry>>,
    listener: Option<EgressListener>,
}

impl std::fmt::Debug for EgressLedger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EgressLedger").field("entries", &self.entries.borrow().len()).finish_non_exhaustive()
    }
}

impl EgressLedger {
    /// A ledger that tells `listener`.
    pub fn new(listener: Option<EgressListener>) -> Self {
        Self { entries: RefCell::default(), listener }
    }

    /// Writes an entry (its id is given here) and returns its id.
    pub(crate) fn write(&self, mut entry: EgressEntry) -> u64 {
        entry.id = self.entries.borrow().len() as u64 + 1;
        self.tell(&entry);
        let id = entry.id;
        self.entries.borrow_mut().push(entry);
        id
    }

    /// Says what became of an entry that is still open.
    pub(crate) fn settle(&self, id: u64, outcome: EgressOutcome) {
        let changed = {
            let mut entries = self.entries.borrow_mut();
            let entry = entries.get_mut((id - 1) as usize).filter(|entry| entry.outcome == EgressOutcome::Sent);
            entry.map(|entry| {
                entry.outcome = outcome;
                entry.clone()
            })
        };
        if let Some(entry) = changed {
            self.tell(&entry);
        }
    }

    fn tell(&self, entry: &EgressEntry) {
        if let Some(listener) = &self.listener {
            listener(entry);
        }
    }

    /// All entries, in order.
    pub fn entries(&self) -> Vec<EgressEntry> {
        self.entries.borrow().clone()
    }

    /// Bytes of all entries.
    pub fn total_bytes(&self) -> u64 {
        self.entries.borrow().iter().map(|entry| entry.bytes).sum()
    }
}
