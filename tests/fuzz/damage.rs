//! What the bounded fuzz tests of all crates share (`#[path]`): a generator, damages, and a meter of memory. The same runs in every test run.

#![allow(dead_code, reason = "each test uses a part")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// Counts what the current thread has allocated.
pub struct Counting;

thread_local! {
    static NOW: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; the counters are plain cells of the thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        NOW.set(NOW.get().wrapping_add(layout.size()));
        PEAK.set(PEAK.get().max(NOW.get()));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.set(NOW.get().saturating_sub(layout.size()));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that were allocated at a time during `work`, beyond those before it.
pub fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = NOW.get();
    PEAK.set(before);
    let result = work();
    (result, PEAK.get() - before)
}

/// How often a test damages: `count` times, or as many times that as `EYAS_FUZZ_RUNS` says.
pub fn runs(count: usize) -> usize {
    count * std::env::var("EYAS_FUZZ_RUNS").ok().and_then(|times| times.parse().ok()).unwrap_or(1)
}

/// Steele and Vigna's SplitMix64.
pub struct Random(pub u64);

impl Random {
    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below a limit.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// A copy with up to three damages: cut, doubled, extreme numbers, other symbols, flipped bits.
pub fn damage(good: &[u8], random: &mut Random) -> Vec<u8> {
    let mut file = good.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(file.len());
        match random.below(8) {
            0 => file.truncate(at),
            1 => file.insert(at, random.next() as u8),
            2 => {
                let end = (at + random.below(40)).min(file.len());
                let copy = file[at..end].to_vec();
                let to = random.below(file.len());
                file.splice(to..to, copy);
            }
            3 => {
                let end = (at + random.below(40)).min(file.len());
                file.drain(at..end);
            }
            4 => {
                let extremes = [0, 1, 0x7F, 1 << 31, u64::from(u32::MAX), 1 << 32, 1 << 62, 1 << 63, u64::MAX - 7, u64::MAX];
                let number = extremes[random.below(extremes.len())].to_le_bytes();
                let width = [4, 8][random.below(2)];
                for (byte, new) in file[at..].iter_mut().zip(&number[..width]) {
                    *byte = *new;
                }
            }
            5 => {
                // In JSON: another digit, bracket or quote.
                let symbols = b"0123456789-.eE[]{},:\"\\ ";
                if let Some(byte) = file.get_mut(at) {
                    *byte = symbols[random.below(symbols.len())];
                }
            }
            6 => {
                if let Some(byte) = file.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            _ => {
                if let Some(byte) = file.get_mut(at) {
                    *byte = random.next() as u8;
                }
            }
        }
        if file.is_empty() {
            break;
        }
    }
    file
}

/// A text with damages, where bytes that are no UTF-8 are replaced.
pub fn damaged_text(good: &str, random: &mut Random) -> String {
    String::from_utf8_lossy(&damage(good.as_bytes(), random)).into_owned()
}

/// Runs `work` on a thread of its own and panics where it takes longer than `limit_ms`: an input without end must fail a test, not hang it.
pub fn within<T: Send + 'static>(limit_ms: u64, work: impl FnOnce() -> T + Send + 'static) -> T {
    let limit_ms = limit_ms * runs(1) as u64;
    let (sender, receiver) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || sender.send(work()));
    match receiver.recv_timeout(std::time::Duration::from_millis(limit_ms)) {
        Ok(result) => result,
        Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(_) => unreachable!("a thread that ended well has sent its result"),
        },
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("still at it after {limit_ms} ms"),
    }
}
