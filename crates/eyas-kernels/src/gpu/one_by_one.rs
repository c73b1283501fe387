//! Steps of several tokens that compute each token as a step of one does.
//!
//! Steps of several tokens are for prompts, and are cut otherwise than those of one: their sums come in another order, and so they round otherwise.

use std::cell::Cell;

thread_local! {
    static ONE_BY_ONE: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`, whose operations on several tokens (8 at most) make each token's sums in the order in which a single token's are made.
pub(super) fn one_by_one<R>(work: impl FnOnce() -> R) -> R {
    let before = ONE_BY_ONE.replace(true);
    let result = work();
    ONE_BY_ONE.set(before);
    result
}

/// Whether operations are within [`one_by_one`].
pub(super) fn is_one_by_one() -> bool {
    ONE_BY_ONE.get()
}
