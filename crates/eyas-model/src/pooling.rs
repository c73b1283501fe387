//! How the states of a text's tokens become one vector.

/// Which states make the vector of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// The mean of all tokens' states, special tokens included.
    Mean,
    /// The first token's state.
    First,
    /// The last token's state.
    Last,
}

/// The mean over the rows of `[t, width]`.
pub(crate) fn mean_row(states: &[f32], width: usize) -> Vec<f32> {
    let mut mean = vec![0.0_f32; width];
    for row in states.chunks(width) {
        mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
    let factor = width as f32 / states.len().max(1) as f32;
    for sum in &mut mean {
        *sum *= factor;
    }
    mean
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_mean_counts_every_row_once() {
        assert_eq!(super::mean_row(&[1.0, 2.0, 3.0, 6.0, 2.0, 1.0], 2), [2.0, 3.0]);
    }
}
