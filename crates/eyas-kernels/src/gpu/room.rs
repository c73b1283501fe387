//! Room in the buffers of activations, so that they have few sizes however many tokens a step computes.

use std::cell::Cell;

use burn::backend::wgpu::CubeTensor;
use cubecl::server::Handle;

thread_local! {
    /// Rows for which the results of several tokens get room.
    static ROOM: Cell<usize> = const { Cell::new(0) };
}

/// See [`crate::with_room`].
pub(crate) fn with_room<R>(rows: usize, work: impl FnOnce() -> R) -> R {
    let before = ROOM.replace(rows);
    let result = work();
    ROOM.set(before);
    result
}

/// A buffer of `rows` rows of `cols` words, in one that has room for more where there are several.
pub(super) fn rows_with_room(like: &CubeTensor, rows: usize, cols: usize) -> Handle {
    let spare = if rows > 1 { ROOM.get().saturating_sub(rows) } else { 0 };
    let handle = like.client.empty((rows + spare) * cols * 4);
    if spare == 0 { handle } else { handle.offset_end((spare * cols * 4) as u64) }
}
