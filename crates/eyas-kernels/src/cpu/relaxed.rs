//! Products with 4-bit weights by the kernels for relaxed SIMD, which are a module of their own (`relaxed/kernels.rs`): it is instantiated where the browser
//! has the instructions, on this module's memory, and called through this module's function table.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use core::arch::wasm32::{i8x16_narrow_i16x8, i8x16_shuffle, i16x8_narrow_i32x4, v128, v128_store};

use eyas_core::BLOCK;

use super::{
    integer,
    quantized_input::{QuantizedInput, Rounded},
    row_groups::{GROUP, GroupRows, RowGroups},
};

/// The module with the kernels; it imports `env.memory` and exports those of every [`Way`] and [`PREFERS_PAIRS`].
pub static MODULE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/relaxed.wasm"));

/// The export that tells which [`Way`] this processor is better at: called with 127 and 255 it returns 1 for pairs, and 0 for quads.
pub const PREFERS_PAIRS: &str = "prefers_pairs";

/// The instruction that products are made of. The results are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Four products are added at once.
    Quads,
    /// Two products are added at once, to sums of 16 bits.
    Pairs,
}

impl Way {
    /// Every way, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Quads, Self::Pairs];

    /// Its exports, in the order in which [`install`] wants them.
    #[must_use]
    pub const fn exports(self) -> [&'static str; 2] {
        match self {
            Self::Quads => ["dot_q4_by_quads", "add_q4_block_by_quads"],
            Self::Pairs => ["dot_q4_by_pairs", "add_q4_block_by_pairs"],
        }
    }
}

/// Places of the exports in the function table; 0, which no function has, where they are not there.
static PLACES: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

/// Whether these are those of [`Way::Pairs`].
static ARE_PAIRS: AtomicBool = AtomicBool::new(false);

type DotQ4 =
    unsafe extern "C" fn(*mut f32, *const u32, *const f32, *const i8, *const f32, *const i32, usize, usize, usize) -> usize;
type AddQ4Block = unsafe extern "C" fn(*mut f32, *const u32, *const f32, *const i8, *const f32, *const i32, usize, *mut u8);

/// The kernels in this module's function table.
#[derive(Clone, Copy)]
pub(super) struct Kernels {
    dot_q4: DotQ4,
    add_q4_block: AddQ4Block,
}

/// Makes products with 4-bit weights use the kernels at these places of the function table, or no longer, for this whole module.
///
/// # Safety
/// The functions there must be that [`Way`]'s exports of [`MODULE`], instantiated on this module's memory, and stay there.
pub unsafe fn install(kernels: Option<(Way, [u32; 2])>) {
    let places = kernels.map_or([0; 2], |(_, places)| places);
    for (place, given) in PLACES.iter().zip(places) {
        place.store(given as usize, Ordering::Relaxed);
    }
    ARE_PAIRS.store(matches!(kernels, Some((Way::Pairs, _))), Ordering::Relaxed);
}

/// What this CPU path is called in reports, where the kernels are installed.
pub(super) fn name() -> Option<&'static str> {
    let name =
        if ARE_PAIRS.load(Ordering::Relaxed) { "CPU (WASM relaxed SIMD, pairs)" } else { "CPU (WASM relaxed SIMD, quads)" };
    is_installed().then_some(name)
}

/// Whether the kernels are installed.
pub(super) fn is_installed() -> bool {
    PLACES[0].load(Ordering::Relaxed) != 0
}

pub(super) fn kernels() -> Option<Kernels> {
    let [dot, add] = [&PLACES[0], &PLACES[1]].map(|place| place.load(Ordering::Relaxed));
    if dot == 0 {
        return None;
    }
    // SAFETY: on this target a function pointer is a place in the table, and `install` was told that these functions are there.
    unsafe {
        Some(Kernels {
            dot_q4: std::mem::transmute::<usize, DotQ4>(dot),
            add_q4_block: std::mem::transmute::<usize, AddQ4Block>(add),
        })
    }
}

/// Seven bits and a sign: the error is below 1/254 of the block's largest value. The columns of each eight stand in the order `0 4 1 5 2 6 3 7`, in which the
/// lower nibbles of a group's word and then its upper ones are.
impl Rounded for i8 {
    fn round_block(x: &[f32; BLOCK], out: &mut [Self; BLOCK]) -> (f32, i32) {
        let (scale, integers) = integer::rounded(x, 127.0);
        for (i, [a, b, c, d]) in integers.as_chunks::<4>().0.iter().enumerate() {
            let bytes = i8x16_narrow_i16x8(i16x8_narrow_i32x4(*a, *b), i16x8_narrow_i32x4(*c, *d));
            let ordered = i8x16_shuffle::<0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15>(bytes, bytes);
            // SAFETY: the output is two vectors of bytes.
            unsafe { v128_store(out.as_mut_ptr().cast::<v128>().add(i), ordered) };
        }
        (scale, integer::total(integers))
    }
}

/// Adds the products of one token with the first of the whole groups; returns how many these are.
pub(super) fn add_token_products(kernels: Kernels, groups: RowGroups, input: &QuantizedInput<i8>, out: &mut [f32]) -> usize {
    let (count, blocks) = (groups.spec.rows / GROUP, input.scales.len());
    assert!(
        groups.words.len() >= count * blocks * BLOCK
            && groups.scales.len() >= count * blocks * GROUP
            && input.values.len() >= blocks * BLOCK
            && input.sums.len() >= blocks
            && out.len() >= count * GROUP
    );
    let (words, scales) = (groups.words.as_ptr(), groups.scales.as_ptr());
    let x = (input.values.as_ptr(), input.scales.as_ptr(), input.sums.as_ptr());
    // SAFETY: the lengths are checked above.
    unsafe { (kernels.dot_q4)(out.as_mut_ptr(), words, scales, x.0, x.1, x.2, count, blocks, BLOCK / 8) }
}

/// Adds the products of all tokens with a whole group to `acc` `[t, 8]`.
pub(super) fn add_group(kernels: Kernels, (words, scales): GroupRows, input: &QuantizedInput<i8>, acc: &mut [[f32; GROUP]]) {
    let (tokens, mut unpacked) = (acc.len(), [0_u8; BLOCK * GROUP]);
    assert!(tokens == input.tokens && input.sums.len() == input.scales.len());
    for (block, (words, scales)) in words.chunks_exact(BLOCK).zip(scales.chunks_exact(GROUP)).enumerate() {
        let (x, x_scales) = input.block(block);
        let x_sums = &input.sums[block * tokens..][..tokens];
        assert!(x.len() == tokens * BLOCK && x_scales.len() == tokens);
        let (acc, x) = (acc.as_mut_ptr().cast(), (x.as_ptr(), x_scales.as_ptr(), x_sums.as_ptr()));
        // SAFETY: the lengths are checked above; a chunk is a block of eight rows.
        unsafe {
            (kernels.add_q4_block)(acc, words.as_ptr(), scales.as_ptr(), x.0, x.1, x.2, tokens, unpacked.as_mut_ptr());
        }
    }
}
