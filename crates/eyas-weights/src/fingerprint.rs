//! Tells one set of weights from another.

/// A 64-bit hash over everything that was read of a checkpoint's tensors: names, places and bytes. It does not depend on the order of the
/// reads, but on which rows were read together. It tells models apart that are different by accident; it is no protection against forgery.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fingerprint(u64);

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

impl Fingerprint {
    /// Adds the bytes of a tensor from a row on.
    pub(crate) fn add(&mut self, tensor: &str, row: usize, bytes: &[u8]) {
        let mut hash = step(fold(MULTIPLIER, tensor.as_bytes()), row as u64);
        hash = fold(hash, bytes);
        self.0 = self.0.wrapping_add(hash ^ (hash >> 29));
    }

    /// Sixteen hexadecimal digits.
    pub fn hex(self) -> String {
        format!("{:016x}", self.0)
    }
}

#[allow(clippy::inline_always, reason = "it is for every eight bytes, and this crate is optimised for size")]
#[inline(always)]
fn step(hash: u64, word: u64) -> u64 {
    (hash ^ word).wrapping_mul(MULTIPLIER).rotate_left(31)
}

/// Eight bytes at a time: a byte-wise hash would be slower than a disk.
fn fold(hash: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(hash, |hash, word| step(hash, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    step(step(hash, u64::from_le_bytes(last)), bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::Fingerprint;

    type Part<'a> = (&'a str, usize, &'a [u8]);

    fn of(parts: &[Part<'_>]) -> String {
        let mut fingerprint = Fingerprint::default();
        for (tensor, row, bytes) in parts {
            fingerprint.add(tensor, *row, bytes);
        }
        fingerprint.hex()
    }

    #[test]
    fn any_difference_shows_and_the_order_does_not() {
        let (a, b): (Part<'_>, Part<'_>) = (("a", 0, b"12345678"), ("b", 0, b"9"));
        assert_eq!(of(&[a, b]), of(&[b, a]));
        let all =
            [of(&[a, b]), of(&[a]), of(&[("a", 1, b"12345678"), b]), of(&[("a", 0, b"12345679"), b]), of(&[a, ("b", 0, b"9\0")])];
        for (i, one) in all.iter().enumerate() {
            assert!(one.len() == 16 && all[i + 1..].iter().all(|other| other != one), "{all:?}");
        }
    }

    #[test]
    fn every_byte_and_its_place_count() {
        let bytes: Vec<u8> = (0..75).collect();
        let mut seen = vec![of(&[("a", 0, &bytes)])];
        for at in 0..75 {
            let mut other = bytes.clone();
            other[at] ^= 0x80;
            seen.push(of(&[("a", 0, &other)]));
        }
        // The highest bits of two words, whose changes could make up for one another.
        for (one, other) in (7..75).step_by(8).flat_map(|one| (one + 8..75).step_by(8).map(move |other| (one, other))) {
            let mut turned = bytes.clone();
            turned[one] ^= 0x80;
            turned[other] ^= 0x80;
            seen.push(of(&[("a", 0, &turned)]));
        }
        // Words that change places.
        for (one, other) in [(0, 8), (8, 16), (16, 24), (0, 32), (64, 32)] {
            let mut swapped = bytes.clone();
            let (at_one, at_other) = (bytes[one..one + 8].to_vec(), bytes[other..other + 8].to_vec());
            swapped[one..one + 8].copy_from_slice(&at_other);
            swapped[other..other + 8].copy_from_slice(&at_one);
            seen.push(of(&[("a", 0, &swapped)]));
        }
        seen.extend((0..75).map(|length| of(&[("a", 0, &bytes[..length])])));
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }
}
