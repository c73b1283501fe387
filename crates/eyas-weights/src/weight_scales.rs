//! The floats that multiply a matrix of 8-bit floats.
//!
//! Published checkpoints store them as tensors beside the matrix: one for all weights, one a row, or one a rectangle of weights.

use std::collections::HashMap;

use eyas_core::{Error, Result};

use crate::TensorInfo;

/// What a matrix `NAME` calls its scales: `NAME` with one of these behind. Both multiply, whatever the second one's name says.
const ENDINGS: [&str; 2] = ["_scale", "_scale_inv"];
/// Scales of activations, which are not rounded here.
const ACTIVATION_ENDINGS: [&str; 2] = [".input_scale", ".input_scale_ub"];

/// The scales of one matrix: a grid of rectangles.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WeightScales {
    values: Vec<f32>,
    grid_cols: usize,
    block_rows: usize,
    block_cols: usize,
}

impl WeightScales {
    /// Gives `values`, a tensor of the shape `shape`, its meaning for a matrix; `block` is what the configuration declares.
    pub(crate) fn new(matrix: &TensorInfo, block: Option<[usize; 2]>, shape: &[usize], values: Vec<f32>) -> Result<Self> {
        let (rows, cols) = (matrix.rows(), matrix.cols());
        let (block_rows, block_cols) = match (block, shape) {
            (_, [] | [1] | [1, 1]) => (rows, cols),
            (Some([block_rows, block_cols]), &[grid_rows, grid_cols])
                if grid_rows == rows.div_ceil(block_rows.max(1)) && grid_cols == cols.div_ceil(block_cols.max(1)) =>
            {
                (block_rows, block_cols)
            }
            (None, &[of_rows] | &[of_rows, 1]) if of_rows == rows => (1, cols),
            _ => {
                let declared =
                    block.map_or("one scale, or one a row".to_owned(), |[r, c]| format!("one scale a block of {r} x {c}"));
                return Err(Error::bad_model(format!(
                    "tensor {:?} of the shape {:?}: expected {declared}, as config.json declares, found scales of the shape {shape:?}; \
                     the files contradict each other",
                    matrix.name, matrix.shape
                )));
            }
        };
        if values.iter().any(|value| !value.is_finite()) {
            return Err(Error::bad_model(format!("tensor {:?}: expected finite scales, found NaN or infinity", matrix.name)));
        }
        Ok(Self {
            values,
            grid_cols: cols.div_ceil(block_cols.max(1)),
            block_rows: block_rows.max(1),
            block_cols: block_cols.max(1),
        })
    }

    /// Multiplies the weights of a row.
    pub(crate) fn scale(&self, row: usize, weights: &mut [f32]) {
        let row_scales = self.values.get(row / self.block_rows * self.grid_cols..).unwrap_or_default();
        for (weights, scale) in weights.chunks_mut(self.block_cols).zip(row_scales) {
            for weight in weights {
                *weight *= scale;
            }
        }
    }
}

/// Whether a tensor scales activations.
pub(crate) fn scales_activations(tensor: &TensorInfo) -> bool {
    ACTIVATION_ENDINGS.iter().any(|ending| tensor.name.ends_with(ending))
}

/// The name of the scales of a matrix of 8-bit floats; `bad-model` where there are none.
pub(crate) fn name_of_scales(matrix: &TensorInfo, by_name: &HashMap<String, usize>) -> Result<String> {
    let names = ENDINGS.map(|ending| format!("{}{ending}", matrix.name));
    names.into_iter().find(|name| by_name.contains_key(name)).ok_or_else(|| {
        Error::bad_model(format!(
            "tensor {0:?} in 8-bit floats: expected its scales in {0}_scale or {0}_scale_inv, found neither; download the whole model",
            matrix.name
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SourceKind;

    fn matrix(rows: usize, cols: usize) -> TensorInfo {
        TensorInfo { name: "w".into(), kind: SourceKind::F8E4M3, shape: vec![rows, cols], file: 0, offset: 0, bytes: 0 }
    }

    fn scaled(block: Option<[usize; 2]>, shape: &[usize], values: &[f32]) -> Vec<f32> {
        let scales = WeightScales::new(&matrix(3, 5), block, shape, values.to_vec()).unwrap();
        let mut weights = vec![1.0; 15];
        for (row, weights) in weights.chunks_mut(5).enumerate() {
            scales.scale(row, weights);
        }
        weights
    }

    #[test]
    fn one_for_all_one_a_row_one_a_block() {
        assert_eq!(scaled(None, &[], &[2.0]), [2.0; 15]);
        assert_eq!(scaled(Some([2, 2]), &[1], &[2.0]), [2.0; 15]);
        let rows = [1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 3.0, 3.0, 3.0, 3.0, 3.0];
        assert_eq!(scaled(None, &[3, 1], &[1.0, 2.0, 3.0]), rows);
        assert_eq!(scaled(None, &[3], &[1.0, 2.0, 3.0]), rows);
        let blocks = [1.0, 1.0, 2.0, 2.0, 3.0, 1.0, 1.0, 2.0, 2.0, 3.0, 4.0, 4.0, 5.0, 5.0, 6.0];
        assert_eq!(scaled(Some([2, 2]), &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), blocks);
    }

    #[test]
    fn contradictions_are_refused() {
        for (block, shape) in [(None, &[2, 3][..]), (Some([2, 2]), &[3, 1]), (Some([0, 2]), &[2, 3]), (None, &[5])] {
            let count = shape.iter().product();
            let error = WeightScales::new(&matrix(3, 5), block, shape, vec![1.0; count]).unwrap_err();
            assert_eq!(error.code(), "bad-model", "{block:?} {shape:?}");
        }
        assert!(WeightScales::new(&matrix(3, 5), None, &[1], vec![f32::NAN]).is_err());
    }
}
