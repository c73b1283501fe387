//! What a GPU's buffers take.

/// Multiples in which buffers are allocated: the coarsest that WebGPU allows an adapter to want for offsets.
const ALIGNMENT_BYTES: u64 = 256;

/// The least that is allocated.
const LEAST_BYTES: u64 = 32;

/// Bytes that a buffer of `bytes` takes on a GPU at most.
pub const fn buffer_bytes(bytes: u64) -> u64 {
    if bytes == 0 { LEAST_BYTES } else { bytes.next_multiple_of(ALIGNMENT_BYTES) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_buffers_take_a_whole_multiple() {
        assert_eq!([0, 4, 256, 257].map(buffer_bytes), [32, 256, 256, 512]);
    }
}
