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

/// What a server had written when its answer broke off, was refused or was given up; whoever runs it charges for that all the same.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BrokenOff {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens of the answer.
    pub completion_tokens: usize,
    /// Whether the server counted them. Otherwise a piece of text counts as one token, and four bytes of the request's body as one.
    pub is_counted: bool,
    /// What they cost, where prices were given.
    pub cost: Option<f64>,
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
    /// The status of the answer, where there is one.
    pub status: Option<u16>,
    /// What came of an answer that was not used; absent where it was, or nothing came.
    pub broken_off: Option<BrokenOff>,
}

/// Hears of every new entry and of every change of one.
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

    /// Says what became of an entry that is still open: the status of its answer, or that there is none.
    pub(crate) fn settle(&self, id: u64, status: Option<u16>) {
        self.change(id, |entry| {
            let is_open = entry.outcome == EgressOutcome::Sent;
            if is_open {
                entry.outcome = if status.is_some() { EgressOutcome::Answered } else { EgressOutcome::Unknown };
                entry.status = status;
            }
            is_open
        });
    }

    /// Says what came of an answer that is not used.
    pub(crate) fn break_off(&self, id: u64, broken_off: BrokenOff) {
        self.change(id, |entry| {
            entry.broken_off = Some(broken_off);
            true
        });
    }

    /// Changes an entry and tells of it where `change` says that there is news.
    fn change(&self, id: u64, change: impl FnOnce(&mut EgressEntry) -> bool) {
        let changed = {
            let mut entries = self.entries.borrow_mut();
            entries.get_mut((id - 1) as usize).and_then(|entry| change(entry).then(|| entry.clone()))
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
