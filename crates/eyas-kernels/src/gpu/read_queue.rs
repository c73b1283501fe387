//! Reads from the GPU that survive being abandoned.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
};

use burn::backend::wgpu::CubeTensor;
use cubecl::server::ServerError;
use eyas_core::{Error, ErrorKind, Result};

type Read = Pin<Box<dyn Future<Output = std::result::Result<Vec<burn::tensor::Bytes>, ServerError>> + Send>>;

/// Holds the read under way outside of the caller's future.
///
/// CubeCL maps a staging buffer for a read. Where the caller drops the read's future before the map is there, the buffer stays mapped, and the next
/// submission that uses it is invalid. So an abandoned read stays here, and is finished before the next work is submitted.
#[derive(Clone, Default)]
pub(crate) struct ReadQueue(Arc<Mutex<Option<Read>>>);

impl ReadQueue {
    fn slot(&self) -> MutexGuard<'_, Option<Read>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finishes a read that was abandoned; its outcome concerns nobody any more.
    pub(crate) async fn settle(&self) {
        let _ = self.outcome().await;
    }

    /// Reads a whole tensor, row-major.
    pub(crate) async fn read(&self, tensor: &CubeTensor) -> Result<Vec<f32>> {
        self.settle().await;
        let (client, handle) = (tensor.client.clone(), tensor.handle.clone());
        *self.slot() = Some(Box::pin(async move { client.read_async(vec![handle]).await }));
        let lost = |error: String| {
            Error::new(ErrorKind::DeviceLost, format!("reading from the GPU failed: {error}; load the model again"))
        };
        let buffers = self.outcome().await.ok_or_else(|| Error::internal("a read was finished by somebody else"))?;
        let buffers = buffers.map_err(|error| lost(error.to_string()))?;
        let bytes = buffers.first().ok_or_else(|| Error::internal("reading one buffer returned none"))?;
        let length = tensor.meta.shape().num_elements() * 4;
        let bytes = bytes.get(..length).ok_or_else(|| lost(format!("expected {length} bytes, found {}", bytes.len())))?;
        Ok(bytemuck::pod_collect_to_vec(bytes))
    }

    /// Waits for the read under way; none where there is none.
    async fn outcome(&self) -> Option<<Read as Future>::Output> {
        poll_fn(|context| {
            let mut slot = self.slot();
            let Some(read) = slot.as_mut() else { return Poll::Ready(None) };
            read.as_mut().poll(context).map(|outcome| {
                *slot = None;
                Some(outcome)
            })
        })
        .await
    }
}

impl std::fmt::Debug for ReadQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ReadQueue").field(&self.slot().is_some()).finish()
    }
}
