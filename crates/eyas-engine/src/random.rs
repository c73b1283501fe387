//! The seeded generator behind a draw.
//!
//! PCG-XSH-RR with 64 bits of state and 32 of output (O'Neill, "PCG: A Family of Simple Fast Space-Efficient Statistically Good
//! Algorithms for Random Number Generation", HMC-CS-2014-0905). The same seed gives the same draws on every device; it is not for
//! secrets.

const MULTIPLIER: u64 = 6_364_136_223_846_793_005;
const STREAM: u64 = 54;

/// A PCG32 generator.
#[derive(Debug, Clone)]
pub struct Random {
    state: u64,
    increment: u64,
}

impl Random {
    /// The generator that `seed` stands for.
    pub fn new(seed: u64) -> Self {
        let mut random = Self { state: 0, increment: (STREAM << 1) | 1 };
        random.next_u32();
        random.state = random.state.wrapping_add(seed);
        random.next_u32();
        random
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        let state = self.state;
        self.state = state.wrapping_mul(MULTIPLIER).wrapping_add(self.increment);
        let folded = (((state >> 18) ^ state) >> 27) as u32;
        folded.rotate_right((state >> 59) as u32)
    }

    /// A number in [0, 1), evenly spread over multiples of 2⁻⁵³.
    pub fn next_unit(&mut self) -> f64 {
        let bits = (u64::from(self.next_u32()) << 32 | u64::from(self.next_u32())) >> 11;
        bits as f64 / (1_u64 << 53) as f64
    }
}

/// A fresh seed from a time and a count of earlier seeds: different for every call, and exact as a JavaScript number.
pub fn fresh_seed(now_ms: f64, count: u64) -> u64 {
    // SplitMix64's finaliser (Steele, Lea, Flood, OOPSLA 2014) spreads the few bits that change.
    let mut mixed = now_ms.to_bits() ^ count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_sequence_of_seed_42_and_stream_54() {
        let mut random = Random::new(42);
        let drawn: Vec<u32> = (0..6).map(|_| random.next_u32()).collect();
        assert_eq!(drawn, [0xa15c_02b7, 0x7b47_f409, 0xba1d_3330, 0x83d2_f293, 0xbfa4_784b, 0xcbed_606e]);
    }

    #[test]
    fn units_stay_below_one_and_average_a_half() {
        let mut random = Random::new(7);
        let units: Vec<f64> = (0..10_000).map(|_| random.next_unit()).collect();
        assert!(units.iter().all(|unit| (0.0..1.0).contains(unit)));
        let mean = units.iter().sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
    }

    #[test]
    fn fresh_seeds_differ_and_fit_a_javascript_number() {
        let seeds: Vec<u64> = (0..100).map(|count| fresh_seed(1_000.5, count)).collect();
        let mut distinct = seeds.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 100);
        assert!(seeds.iter().all(|&seed| seed < 1 << 53));
    }
}
