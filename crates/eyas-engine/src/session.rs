//! A conversation that keeps its KV cache from one answer to the next.

use std::{cell::RefCell, rc::Rc};

use eyas_core::{Error, Result};
use eyas_model::Decoder;

use crate::{Engine, Generation, Request, live_cache::LiveCache};

/// A session. Clones are the same session; [`Session::fork`] makes another with the same past.
#[derive(Clone)]
pub struct Session {
    engine: Engine,
    slot: Rc<RefCell<Slot>>,
}

/// Where a session's cache is.
enum Slot {
    /// No answer was asked for yet, so nothing is allocated.
    Unmade,
    /// It waits here.
    Idle(Box<LiveCache>),
    /// A generation or a fork works on it; how many tokens it had before.
    Lent(usize),
}

impl Session {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine, slot: Rc::new(RefCell::new(Slot::Unmade)) }
    }

    /// Starts an answer. Everything that can be wrong with the request is found here, before any work: bad options and prompts are
    /// `bad-input`, a prompt that leaves no room is `context-overflow`, a session that is still generating is `bad-input` (busy).
    ///
    /// Of the tokens that this session has computed, the longest prefix that it shares with the prompt is kept; only the rest
    /// (at least the last token) is computed again.
    pub fn start(&self, request: &Request) -> Result<Generation> {
        self.check_idle()?;
        Generation::new(self.engine.clone(), request, || self.lend())
    }

    /// A new session with the same past, from which both go on independently.
    pub async fn fork(&self) -> Result<Self> {
        let fork = Self::new(self.engine.clone());
        self.check_idle()?;
        if self.tokens() > 0 {
            let mut lease = self.lend()?;
            let copy = lease.cache(&self.engine).await?.fork().await?;
            *fork.slot.borrow_mut() = Slot::Idle(Box::new(copy));
        }
        Ok(fork)
    }

    /// Tokens whose keys and values are cached.
    pub fn tokens(&self) -> usize {
        match &*self.slot.borrow() {
            Slot::Unmade => 0,
            Slot::Idle(cache) => cache.ids().len(),
            Slot::Lent(tokens) => *tokens,
        }
    }

    fn check_idle(&self) -> Result<()> {
        match *self.slot.borrow() {
            Slot::Lent(_) => Err(Error::bad_input(
                "the session is busy with another answer; wait for its end, stop it, or use a session of its own for each answer",
            )),
            Slot::Unmade | Slot::Idle(_) => Ok(()),
        }
    }

    fn lend(&self) -> Result<Lease> {
        self.check_idle()?;
        let lent = Slot::Lent(self.tokens());
        let cache = match std::mem::replace(&mut *self.slot.borrow_mut(), lent) {
            Slot::Idle(cache) => Some(cache),
            Slot::Unmade | Slot::Lent(_) => None,
        };
        Ok(Lease { cache, slot: self.slot.clone() })
    }
}

/// The loan of a session's cache; dropping it gives the cache back with exactly the tokens that were computed.
pub(crate) struct Lease {
    /// Absent until the session's first step.
    cache: Option<Box<LiveCache>>,
    slot: Rc<RefCell<Slot>>,
}

impl Lease {
    /// Keeps the longest prefix that the cached tokens share with `ids`, short of the last one; returns its length. Nothing is kept where the
    /// prefix ends before what a sliding window still has.
    pub(crate) fn keep_prefix(&mut self, decoder: &Decoder, ids: &[u32]) -> usize {
        let Some(cache) = &mut self.cache else { return 0 };
        let shared = cache.ids().iter().zip(ids).take_while(|(a, b)| a == b).count();
        let kept = shared.min(ids.len().saturating_sub(1));
        cache.truncate(kept);
        cache.prepare(decoder, ids.len());
        cache.ids().len()
    }

    /// Forgets all tokens from position `len` on.
    pub(crate) fn truncate(&mut self, len: usize) {
        if let Some(cache) = &mut self.cache {
            cache.truncate(len);
        }
    }

    /// The tokens whose keys and values are cached.
    pub(crate) fn cached_ids(&self) -> &[u32] {
        self.cache.as_ref().map_or(&[], |cache| cache.ids())
    }

    /// Tokens that may be guessed behind one on the device at most.
    #[cfg(feature = "gpu")]
    pub(crate) fn most_guessed(&self, decoder: &Decoder) -> usize {
        self.cache.as_ref().map_or(0, |cache| cache.most_guessed(decoder))
    }

    /// The cache, which is made if this is the session's first step.
    pub(crate) async fn cache(&mut self, engine: &Engine) -> Result<&mut LiveCache> {
        let cache = match self.cache.take() {
            Some(cache) => cache,
            None => Box::new(engine.new_cache().await?),
        };
        Ok(self.cache.insert(cache))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        *self.slot.borrow_mut() = match self.cache.take() {
            Some(mut cache) => {
                cache.rest();
                Slot::Idle(cache)
            }
            None => Slot::Unmade,
        };
    }
}
