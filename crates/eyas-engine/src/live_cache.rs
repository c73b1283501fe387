//! KV caches that are alive, the bytes that they take together, and the one that waits for the next sequence.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use eyas_core::{CancelToken, Result};
use eyas_kernels::Draws;
use eyas_model::{Decoder, KvCache, LogitsOf};

/// What the caches of an engine have in common: they are all of one size.
#[derive(Clone)]
pub(crate) struct CachePool(Rc<Pool>);

struct Pool {
    bytes: Cell<u64>,
    /// Whether a cache that nobody needs any more is kept for the next one.
    keeps_spare: bool,
    spare: RefCell<Option<KvCache>>,
}

impl CachePool {
    /// Of the caches of `decoder`. On a CPU the next sequence takes the cache that the last one has left: a new one would be filled with zeros first, and take
    /// memory that this one has. On a GPU buffers are used again anyway.
    pub(crate) fn new(decoder: &Decoder) -> Self {
        Self(Rc::new(Pool { bytes: Cell::new(0), keeps_spare: !decoder.device().is_gpu(), spare: RefCell::new(None) }))
    }

    /// Bytes that live caches take now. One that is kept for the next sequence is none of them.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.bytes.get()
    }
}

/// A KV cache together with the ids of the tokens in it.
pub(crate) struct LiveCache {
    /// Present until it is dropped.
    cache: Option<KvCache>,
    ids: Vec<u32>,
    bytes: u64,
    pool: CachePool,
}

impl LiveCache {
    /// An empty cache for `context_tokens` that are computed at most `chunk_tokens` at a time: the spare one, or a new one.
    pub(crate) fn new(decoder: &Decoder, context_tokens: usize, chunk_tokens: usize, pool: &CachePool) -> Result<Self> {
        let spare = pool.0.spare.take();
        debug_assert!(spare.as_ref().is_none_or(|spare| (spare.capacity(), spare.chunk()) == (context_tokens, chunk_tokens)));
        let cache = spare.map_or_else(|| decoder.new_cache(context_tokens, chunk_tokens), Ok)?;
        Ok(Self::count(cache, Vec::new(), pool))
    }

    fn count(cache: KvCache, ids: Vec<u32>, pool: &CachePool) -> Self {
        let bytes = cache.bytes();
        pool.0.bytes.set(pool.bytes() + bytes);
        Self { cache: Some(cache), ids, bytes, pool: pool.clone() }
    }

    fn cache(&self) -> &KvCache {
        match &self.cache {
            Some(cache) => cache,
            None => unreachable!("a cache is there until it is dropped"),
        }
    }

    fn cache_mut(&mut self) -> &mut KvCache {
        match &mut self.cache {
            Some(cache) => cache,
            None => unreachable!("a cache is there until it is dropped"),
        }
    }

    /// A copy with the same tokens, on its own memory.
    pub(crate) async fn fork(&self) -> Result<Self> {
        self.pool.0.spare.take(); // the copy takes its memory
        Ok(Self::count(self.cache().fork().await?, self.ids.clone(), &self.pool))
    }

    /// The tokens whose keys and values are in the cache.
    pub(crate) fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Readies the cache for a sequence that grows to `total_tokens`; all tokens are forgotten where such a sequence is computed otherwise.
    pub(crate) fn prepare(&mut self, decoder: &Decoder, total_tokens: usize) {
        self.settle();
        let kept = decoder.prepare(self.cache_mut(), total_tokens);
        self.ids.truncate(kept);
    }

    /// Forgets all tokens from position `len` on, or all where the rest can't be used without them.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.ids.truncate(len);
        self.settle();
    }

    /// Brings cache and ids to the same length. They differ after a forward pass that failed or whose future was dropped: what it
    /// wrote is then unknown, so it is forgotten.
    pub(crate) fn settle(&mut self) {
        let ids = self.ids.len();
        let len = self.cache_mut().truncate(ids);
        self.ids.truncate(len);
    }

    /// Computes `ids` after the tokens that are there, and returns the logits asked for.
    pub(crate) async fn extend(&mut self, decoder: &Decoder, ids: &[u32], logits: LogitsOf) -> Result<Vec<f32>> {
        self.settle();
        let logits = decoder.forward(self.cache_mut(), ids, logits).await?;
        self.ids.extend_from_slice(ids);
        Ok(logits)
    }

    /// Lets a GPU show that it computes right; see [`Decoder::try_device`]. The cache is empty afterwards.
    pub(crate) async fn try_device(&mut self, decoder: &Decoder, cancel: &CancelToken) -> Result<()> {
        self.ids.clear();
        decoder.try_device(self.cache_mut(), cancel).await
    }

    /// Computes `id` after the tokens that are there, and then tokens that the device chooses (draws, or takes the most probable), `count` in all, without a word from
    /// the host in between; returns the tokens chosen, of which the last is not computed yet.
    pub(crate) async fn decode_ahead(
        &mut self,
        decoder: &Decoder,
        id: u32,
        count: usize,
        draws: Option<&Draws<'_>>,
    ) -> Result<Vec<u32>> {
        self.settle();
        let picked = match draws {
            None => decoder.decode_greedy(self.cache_mut(), id, count).await?,
            Some(draws) => decoder.decode_drawn(self.cache_mut(), id, draws).await?,
        };
        self.computed(id, &picked);
        Ok(picked)
    }

    /// Computes `id` after the tokens that are there, with `guess` behind it; returns the tokens that the device chose, of which the last is not computed yet.
    #[cfg(feature = "gpu")]
    pub(crate) async fn decode_guessed(&mut self, decoder: &Decoder, id: u32, guess: &[u32]) -> Result<Vec<u32>> {
        self.settle();
        let picked = decoder.decode_guessed(self.cache_mut(), id, guess).await?;
        self.computed(id, &picked);
        Ok(picked)
    }

    /// See [`Decoder::most_guessed`].
    #[cfg(feature = "gpu")]
    pub(crate) fn most_guessed(&self, decoder: &Decoder) -> usize {
        decoder.most_guessed(self.cache())
    }

    /// Ends the work of an answer on the cache, also one that was given up.
    pub(crate) fn rest(&mut self) {
        self.settle();
        #[cfg(feature = "gpu")]
        self.cache_mut().release_guesses();
    }

    /// See [`Decoder::is_used_to_guesses`].
    #[cfg(feature = "gpu")]
    pub(crate) fn is_used_to_guesses(&self, decoder: &Decoder, guesses: usize) -> bool {
        decoder.is_used_to_guesses(self.cache(), guesses)
    }

    fn computed(&mut self, id: u32, picked: &[u32]) {
        self.ids.push(id);
        self.ids.extend_from_slice(&picked[..picked.len().saturating_sub(1)]);
    }
}

impl Drop for LiveCache {
    fn drop(&mut self) {
        let pool = &self.pool.0;
        pool.bytes.set(pool.bytes.get() - self.bytes);
        if let Some(mut cache) = self.cache.take().filter(|_| pool.keeps_spare) {
            cache.truncate(0);
            pool.spare.replace(Some(cache));
        }
    }
}
