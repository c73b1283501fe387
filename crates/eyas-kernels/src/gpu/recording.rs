//! A decode step recorded once and replayed: no bind group, buffer or pipeline is made for a replayed token.

use burn::{
    backend::{Cube, wgpu::CubeTensor},
    tensor::{Bytes, Int, Tensor},
};
use cubecl::client::Graph;
use eyas_core::{Error, ErrorKind, Result};

use crate::{KernelDevice, operations::step_words, write_step};

/// A recorded step of one token over fixed buffers.
///
/// CubeCL's software graph keeps raw bindings, so this owns every tensor that the recorded launches read or write.
pub struct Recording {
    graph: Graph,
    step: CubeTensor,
    output: CubeTensor,
    _held: Vec<Tensor<2>>,
}

impl Recording {
    /// Runs `step` twice, the second time recording instead of computing. `step` gets the step tensor `[position, 1, id]` and returns the output;
    /// it must push every activation that it makes into the vector, and neither read nor write from the host.
    pub fn capture(
        device: &KernelDevice,
        position: usize,
        id: u32,
        mut step: impl FnMut(Tensor<1, Int>, &mut Vec<Tensor<2>>) -> Tensor<2>,
    ) -> Result<Self> {
        let failed =
            |error| Error::new(ErrorKind::DeviceLost, format!("recording a decode step failed: {error}; load the model again"));
        let step_tensor = write_step(device, position, &[id], 1);
        let step_primitive = primitive(step_tensor.clone())?;
        let client = step_primitive.client.clone();
        client.graph_prepare().map_err(|error| failed(error.to_string()))?;
        // The warm-up leaves in the pools exactly the buffers that the recorded run takes.
        {
            let mut held = Vec::new();
            let output = step(step_tensor.clone(), &mut held);
            drop((output, held));
        }
        client.start_capture().map_err(|error| failed(error.to_string()))?;
        let mut held = Vec::new();
        let output = step(step_tensor, &mut held);
        let graph = client.stop_capture().map_err(|error| failed(error.to_string()))?;
        let output = output
            .try_into_primitive::<Cube>()
            .map_err(|error| Error::internal(format!("the decode step's output is not on the GPU: {error:?}")))?;
        Ok(Self { graph, step: step_primitive, output, _held: held })
    }

    /// Computes the step for another position and id, and reads its output back.
    pub async fn replay(&self, device: &KernelDevice, position: usize, id: u32) -> Result<Vec<f32>> {
        let lost = |error: String| {
            Error::new(ErrorKind::DeviceLost, format!("a decode step failed on the GPU: {error}; load the model again"))
        };
        let client = &self.step.client;
        client.write(&self.step.handle, Bytes::from_elems(step_words(position, &[id], 1)));
        // SAFETY: `self` owns every tensor of the graph, and all work goes through one client on one stream.
        unsafe { self.graph.replay() }.map_err(|error| lost(error.to_string()))?;
        device.reads().read(&self.output).await
    }
}

fn primitive(tensor: Tensor<1, Int>) -> Result<CubeTensor> {
    tensor.try_into_primitive::<Cube>().map_err(|error| Error::internal(format!("the step tensor is not on the GPU: {error:?}")))
}
