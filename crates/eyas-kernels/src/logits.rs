//! What is looked for among the logits of a whole vocabulary, on the host.

/// Values that are looked at together.
const LANES: usize = 16;

/// Values between two looks at what was found: one KiB.
const PART: usize = 256;

/// The place of the first value that is no finite number.
#[inline(never)] // in a caller that is optimised for size it would be too
pub fn first_not_finite(values: &[f32]) -> Option<usize> {
    const SIZE: u32 = u32::MAX >> 1;
    const INFINITE: u32 = f32::INFINITY.to_bits();
    let part = values.chunks(PART).position(|part| part.iter().fold(0, |most, x| most.max(x.to_bits() & SIZE)) >= INFINITE)?;
    values[part * PART..].iter().position(|x| !x.is_finite()).map(|at| part * PART + at)
}

/// The place of the largest value, the first among equals; 0 where there is none.
#[inline(never)] // in a caller that is optimised for size it would be too
pub fn first_largest(values: &[f32]) -> usize {
    let (mut best, mut best_part) = (f32::NEG_INFINITY, 0);
    for (index, part) in values.chunks(PART).enumerate() {
        let largest = largest(part);
        if largest > best {
            (best, best_part) = (largest, index);
        }
    }
    let start = best_part * PART;
    values[start..].iter().position(|x| *x >= best).map_or(0, |at| start + at)
}

fn largest(values: &[f32]) -> f32 {
    let (whole, rest) = values.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for values in whole {
        for (lane, x) in lanes.iter_mut().zip(values) {
            *lane = if *x > *lane { *x } else { *lane };
        }
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_largest_is_found_wherever_it_stands() {
        for count in [1, 15, 16, 17, 255, 256, 257, 1000] {
            for at in [0, count / 2, count - 1] {
                let mut values: Vec<f32> = (0..count).map(|i| -((i * 37 % 101) as f32) - 1.0).collect();
                values[at] = -0.5;
                values[count - 1] = -0.5;
                assert_eq!(first_largest(&values), at, "{at} of {count}");
            }
        }
        assert_eq!((first_largest(&[]), first_largest(&[f32::NEG_INFINITY; 3]), first_largest(&[-0.0, 0.0])), (0, 0, 0));
    }

    #[test]
    fn what_is_not_finite_is_found_first() {
        let mut values = vec![f32::MAX; 700];
        assert_eq!(first_not_finite(&values), None);
        for (at, x) in [(600, f32::NAN), (300, f32::NEG_INFINITY), (299, -f32::NAN), (7, f32::INFINITY)] {
            values[at] = x;
            assert_eq!(first_not_finite(&values), Some(at));
        }
        assert_eq!(first_not_finite(&[]), None);
    }
}
