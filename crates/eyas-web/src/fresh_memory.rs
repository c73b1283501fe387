//! The module's allocator: the standard one, but memory that the browser has just given is not written to be zero, since it is.
//!
//! A session's keys and values are allocated for its whole context, some 190 MB for 4,096 tokens of SmolLM2-135M. Zeros that are written make the system
//! find a place for all of it; what nobody writes takes none before a token is kept there.

use std::alloc::{GlobalAlloc, Layout, System};

#[global_allocator]
static ALLOCATOR: FreshMemory = FreshMemory;

/// WebAssembly's page (core specification, section 4.2.8).
const PAGE_BYTES: usize = 65_536;
/// Smaller blocks are not worth it.
const LEAST_BYTES: usize = 1 << 20;
/// The alignment that the allocator gives anyway: for a greater one it cuts a block, and writes where it does.
const PLAIN_ALIGN: usize = 8;
/// Zeroed in any case on both sides of every end of a block: the allocator writes what it knows of a block beside it.
const EDGE_BYTES: usize = 64;

struct FreshMemory;

/// The first address behind memory.
fn memory_end() -> usize {
    core::arch::wasm32::memory_size::<0>().saturating_mul(PAGE_BYTES)
}

// SAFETY: every call goes to the standard allocator with the caller's own arguments. `alloc_zeroed` returns its block with nothing but zeros: bytes behind
// the end that memory had before are zero by the specification of `memory.grow`; nobody but the allocator can have written there since. Of that, dlmalloc
// (0.2.11 in the standard library of Rust 1.95), it is taken that it writes at the ends of blocks and of memory only; all of these, and all other bytes, are
// zeroed here. `tests/browser/parity.test.mjs` looks at the zeros, and has to with every new standard library.
unsafe impl GlobalAlloc for FreshMemory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's own promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the same.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: the same.
        unsafe { System.realloc(block, layout, bytes) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let bytes = layout.size();
        if bytes < LEAST_BYTES || layout.align() > PLAIN_ALIGN {
            // SAFETY: the same.
            return unsafe { System.alloc_zeroed(layout) };
        }
        let end_before = memory_end();
        // SAFETY: the same.
        let first = unsafe { System.alloc(layout) };
        let (first_at, end_then) = (first as usize, memory_end());
        let mut block = first;
        let before_end = end_before.saturating_sub(first_at);
        if !first.is_null() && (1..bytes).contains(&before_end) {
            // It begins in what was left of the memory there was, which would have to be zeroed. Where a block takes that meanwhile, this one comes to lie behind it.
            // SAFETY: both layouts have a size, a block is given back once and as it was taken, and what this returns is one that was not given back.
            block = unsafe {
                let rest = Layout::from_size_align_unchecked(before_end, PLAIN_ALIGN);
                System.dealloc(first, layout);
                let plug = System.alloc(rest);
                let behind = System.alloc(layout);
                if !plug.is_null() {
                    System.dealloc(plug, rest);
                }
                // Without the room for both there is that for one.
                if behind.is_null() { System.alloc_zeroed(layout) } else { behind }
            };
        }
        if !block.is_null() {
            let at = block as usize;
            let zero = |from: usize, until: usize| {
                let [from, until] = [from, until].map(|address| address.saturating_sub(at).min(bytes));
                // SAFETY: both are offsets in the block, or its end.
                unsafe { block.add(from).write_bytes(0, until - from) };
            };
            zero(at, end_before);
            // Where memory ended, and where the block did before it moved.
            for end in [end_before, end_then, first_at.saturating_add(bytes), at + bytes] {
                zero(end.saturating_sub(EDGE_BYTES), end.saturating_add(EDGE_BYTES));
            }
            zero(at, at + EDGE_BYTES);
        }
        block
    }
}

/// Allocates zeroed blocks that become larger and larger, and smaller ones between them, writes to them and frees them in a random order, and looks whether
/// each was zero; for tests. Returns how many of them lay wholly behind the end that memory had before. Fails with what was found where one was not zero.
#[cfg(feature = "parity")]
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn zeroed_blocks(rounds: u32, seed: u32) -> Result<u32, wasm_bindgen::JsError> {
    let mut random = seed | 1;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        random as usize % below
    };
    let mut blocks: Vec<Vec<u32>> = Vec::new();
    let mut fresh = 0;
    for round in 0..rounds as usize {
        if next(4) == 0 {
            // What it leaves is a rest of memory that was written to, of any size, and aligned otherwise.
            let mut scratch = vec![0u128; next(1 << 18)];
            scratch.fill(u128::MAX);
        }
        let words = [next(1 << 12), (1 << 18) + next(3), (1 << 18) + 8192 * round + next(1 << 16)][next(3)];
        let end_before = memory_end();
        let mut block = vec![0u32; words];
        fresh += u32::from(block.as_ptr() as usize >= end_before);
        if let Some(at) = block.iter().position(|word| *word != 0) {
            return Err(wasm_bindgen::JsError::new(&format!("round {round}: word {at} of {words} is {:#x}", block[at])));
        }
        block.fill(u32::MAX);
        blocks.push(block);
        while blocks.len() > 24 || (!blocks.is_empty() && next(3) == 0) {
            blocks.swap_remove(next(blocks.len()));
        }
    }
    Ok(fresh)
}
