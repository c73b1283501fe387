//! Launches that are recorded once and replayed: no bind group, buffer or pipeline is made for a replay.

use burn::{
    backend::{Cube, wgpu::CubeTensor},
    tensor::{Bytes, Int, Tensor},
};
use cubecl::client::Graph;
use eyas_core::{Error, ErrorKind, Result};

/// A step over fixed buffers.
///
/// CubeCL's software graph keeps raw bindings, so this owns every tensor that the recorded launches read or write.
pub(super) struct Recorded {
    graph: Graph,
    pub(super) step: CubeTensor,
    pub(super) output: CubeTensor,
    _held: Vec<Tensor<2>>,
}

impl Recorded {
    /// Runs `step` twice, the second time recording instead of computing. `step` gets the step tensor and returns the output; it must push every activation
    /// that it makes into the vector, and neither read nor write from the host. `prepare` comes before, and `choose` gets what it returns, the output and
    /// the step tensor, and launches what is to be recorded behind the step.
    pub(super) fn capture<P>(
        step_tensor: &Tensor<1, Int>,
        prepare: impl FnOnce(&CubeTensor) -> Result<P>,
        mut step: impl FnMut(Tensor<1, Int>, &mut Vec<Tensor<2>>) -> Tensor<2>,
        choose: impl Fn(&P, &CubeTensor, &CubeTensor),
    ) -> Result<(Self, P)> {
        let failed =
            |error| Error::new(ErrorKind::DeviceLost, format!("recording a decode step failed: {error}; load the model again"));
        let step_primitive = primitive(step_tensor.clone())?;
        let client = step_primitive.client.clone();
        client.graph_prepare().map_err(|error| failed(error.to_string()))?;
        let prepared = prepare(&step_primitive)?;
        let mut run = |held: &mut Vec<Tensor<2>>| -> Result<CubeTensor> {
            let output = step(step_tensor.clone(), held)
                .try_into_primitive::<Cube>()
                .map_err(|error| Error::internal(format!("the decode step's output is not on the GPU: {error:?}")))?;
            choose(&prepared, &output, &step_primitive);
            Ok(output)
        };
        // The warm-up leaves exactly the buffers that the recorded run takes, if all of them were allocated before the first is given back.
        let mut held = Vec::new();
        let output = run(&mut held)?;
        client.flush().map_err(|error| failed(error.to_string()))?;
        drop((output, held));
        client.start_capture().map_err(|error| failed(error.to_string()))?;
        let mut held = Vec::new();
        let output = run(&mut held);
        let graph = client.stop_capture().map_err(|error| failed(error.to_string()))?;
        Ok((Self { graph, step: step_primitive, output: output?, _held: held }, prepared))
    }

    /// Writes the step tensor.
    pub(super) fn write(&self, words: Vec<u32>) {
        self.step.client.write(&self.step.handle, Bytes::from_elems(words));
    }

    /// Launches all of it once more.
    pub(super) fn replay(&self) -> Result<()> {
        // SAFETY: `self` owns every tensor of the graph, and all work goes through one client on one stream.
        unsafe { self.graph.replay() }.map_err(|error| {
            Error::new(ErrorKind::DeviceLost, format!("a decode step failed on the GPU: {error}; load the model again"))
        })
    }
}

fn primitive(tensor: Tensor<1, Int>) -> Result<CubeTensor> {
    tensor.try_into_primitive::<Cube>().map_err(|error| Error::internal(format!("the step tensor is not on the GPU: {error:?}")))
}
