//! Parts of a matrix that are read back from a device.

use std::ops::Range;

/// Words of a part: 1 MiB.
const PIECE_WORDS: usize = 1 << 18;

/// Parts of a matrix at most. A smaller matrix is read whole, of a larger one parts at equal distances: the first, the last, and those between.
const MOST_PIECES: usize = 16;

/// Rows of a matrix with so many words a row, in parts that hold little enough.
pub(crate) fn row_pieces(rows: usize, words_per_row: usize) -> impl Iterator<Item = Range<usize>> {
    let step = (PIECE_WORDS / words_per_row.max(1)).max(1);
    let pieces = rows.div_ceil(step);
    let taken = pieces.min(MOST_PIECES);
    (0..taken).map(move |index| {
        let piece = if taken < pieces { index * (pieces - 1) / (taken - 1) } else { index };
        piece * step..((piece + 1) * step).min(rows)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_matrix_is_taken_whole() {
        assert!(row_pieces(5, 8).eq(std::iter::once(0..5)));
        let pieces: Vec<_> = row_pieces(10, PIECE_WORDS / 4).collect();
        assert_eq!(pieces, [0..4, 4..8, 8..10]);
        assert_eq!(row_pieces(2, 2 * PIECE_WORDS).collect::<Vec<_>>(), [0..1, 1..2]);
        assert_eq!(row_pieces(0, 8).count(), 0);
    }

    #[test]
    fn a_large_one_from_its_first_to_its_last_row() {
        let pieces: Vec<_> = row_pieces(1001, PIECE_WORDS / 4).collect();
        assert_eq!((pieces.len(), &pieces[0], &pieces[15]), (16, &(0..4), &(1000..1001)));
        assert!(pieces.windows(2).all(|pair| pair[0].end <= pair[1].start));
    }
}
