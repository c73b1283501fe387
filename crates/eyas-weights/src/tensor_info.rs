//! One tensor of a checkpoint.

use crate::SourceKind;

/// A tensor's name, format, shape and place. Every number was checked when the checkpoint was opened: rows, columns and the bytes of
/// a row fit into `u32`, and the tensor lies inside its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// The name, as the file has it.
    pub name: String,
    /// How elements are stored.
    pub kind: SourceKind,
    /// The shape, outermost axis first in both formats (a GGUF file has it reversed): a matrix is `[rows, cols]`.
    pub shape: Vec<usize>,
    /// The index of the file among those of the checkpoint.
    pub file: usize,
    /// Where the tensor begins in its file, counted from the file's beginning.
    pub offset: u64,
    /// The size in the file.
    pub bytes: u64,
}

impl TensorInfo {
    /// Rows: the product of all axes but the last; a vector is one row.
    pub fn rows(&self) -> usize {
        self.shape.split_last().map_or(1, |(_, leading)| leading.iter().product())
    }

    /// Columns: the last axis.
    pub fn cols(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Stored bytes of a row.
    pub fn row_bytes(&self) -> usize {
        self.kind.row_bytes(self.cols())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_axes_are_rows() {
        let tensor = |shape: &[usize]| TensorInfo {
            name: String::new(),
            kind: SourceKind::F16,
            shape: shape.to_vec(),
            file: 0,
            offset: 0,
            bytes: 0,
        };
        for (shape, rows, cols) in [(&[][..], 1, 1), (&[7], 1, 7), (&[2, 7], 2, 7), (&[3, 2, 7], 6, 7), (&[3, 0, 7], 0, 7)] {
            let tensor = tensor(shape);
            assert_eq!((tensor.rows(), tensor.cols(), tensor.row_bytes()), (rows, cols, 2 * cols), "{shape:?}");
        }
    }
}
