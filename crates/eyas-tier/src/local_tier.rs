//! The device's own model, as the shell gives it.

use eyas_core::{Event, Result, TokenSignal};

use crate::LocalFuture;

/// An answer that this device computes step by step. Dropping it stops it.
pub trait LocalAnswer {
    /// One part of the prompt, one token, or the end.
    fn next(&mut self) -> LocalFuture<'_, Result<Event>>;
    /// Prompt tokens that are still to be computed.
    fn pending_tokens(&self) -> usize;
    /// What each token so far says about its certainty; empty unless asked for at the start.
    fn signals(&self) -> &[TokenSignal];
}

/// Begins answers on this device.
pub trait LocalTier {
    /// Begins the answer; everything that is wrong with the request is found here. `watch` asks for the signals of every token.
    fn start(&self, watch: bool) -> Result<Box<dyn LocalAnswer>>;
}
