//! Which workgroup sizes are fastest on an adapter: measured, since neither its name nor its kind tells.
//!
//! Each candidate computes the same small operation, on buffers of its own that are gone afterwards. What computes other values than most, or is refused, is
//! not taken: a driver may compile one cut right and another one wrong.

use burn::tensor::wgpu::wgpu;
use eyas_core::{ErrorKind, Result, Tuning, WeightKind};

use super::{
    backend::{attention, product, rounding},
    device_setup::GpuContext,
    kernel::{Kernel, Output},
    product::Input,
    staging::Staging,
};
use crate::{AttentionSpec, KernelDevice, MatrixSpec};

/// The matrix of a decoded token: large enough to keep a GPU busy.
const MATVEC: MatrixSpec = MatrixSpec { rows: 1024, cols: 1024, kind: WeightKind::Q4, has_bias: false };
/// The matrix of a prompt of [`TOKENS`] tokens.
const MATMUL: MatrixSpec = MatrixSpec { rows: 256, ..MATVEC };
const TOKENS: usize = 16;
/// Positions that a token's attention sees.
const POSITIONS: usize = 256;

/// How much faster than the best so far a candidate must be: less is noise.
const GAIN: f64 = 0.9;
/// A candidate that takes so many times as long as the best one is not looked at any further.
const HOPELESS: f64 = 2.0;
/// A measurement lasts so long at least, besides what an empty submission takes: some browsers' clocks go in steps of a millisecond.
const LEAST_MS: f64 = 10.0;
/// Dispatches of a measurement at most.
const MOST_DISPATCHES: u32 = 1024;
/// Values of two candidates differ so much at most, as a part of the largest.
const MOST_DIFFERENCE: f32 = 1e-4;

/// The fastest sizes; those that the device has now count where others are not clearly faster.
pub(crate) async fn fastest(device: &KernelDevice, now_ms: &dyn Fn() -> f64) -> Result<Tuning> {
    let Some(context) = device.gpu_context() else { return Ok(device.tuning()) };
    let mut best = device.tuning();
    let threads = context.device.limits().max_compute_invocations_per_workgroup;
    let operation = Operation::product(context, MATVEC, 1);
    let trials = Trials::new(device, context, now_ms, &operation).await?;
    let candidates = Tuning::MATVEC.map(|sizes| best.with_matvec(sizes));
    best = trials.fastest(operation, best, &candidates, |tuning| product(MATVEC, Output::Store, 1, tuning)).await?;

    let candidates = Tuning::MATMUL.map(|sizes| best.with_matmul(sizes));
    let operation = Operation::product(context, MATMUL, TOKENS);
    best = trials.fastest(operation, best, &candidates, |tuning| product(MATMUL, Output::Store, TOKENS, tuning)).await?;

    let spec = AttentionSpec::new(8, 2, 64, POSITIONS);
    let candidates: Vec<_> =
        Tuning::ATTENTION.iter().map(|sizes| best.with_attention(*sizes)).filter(|it| it.reduce_lanes <= threads).collect();
    best = trials.fastest(Operation::attention(context, spec, 1), best, &candidates, |tuning| attention(spec, 1, tuning)).await?;

    let candidates = Tuning::ATTENTION_TOKENS.map(|attention_tokens| Tuning { attention_tokens, ..best });
    // Each head with keys of its own: a workgroup has room for tokens then.
    let spec = AttentionSpec::new(8, 8, 64, POSITIONS);
    let operation = Operation::attention(context, spec, TOKENS);
    trials.fastest(operation, best, &candidates, |tuning| attention(spec, TOKENS, tuning)).await
}

/// An operation with its buffers, in the order of the kernel's bindings; the last one gets the result.
struct Operation {
    buffers: Vec<wgpu::Buffer>,
    /// Where a kernel that rounds the input of a product writes it.
    rounded: wgpu::Buffer,
    output: Staging,
}

/// Which of a product's buffers is its input.
const PRODUCT_INPUT: usize = 2;

impl Operation {
    fn new(context: &GpuContext, inputs: &[&[u32]], rounded_words: usize, output_words: usize) -> Self {
        let buffer = |words: usize| {
            context.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("eyas calibration"),
                size: words as u64 * 4,
                usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            })
        };
        let mut buffers: Vec<_> = inputs.iter().map(|words| buffer(words.len())).collect();
        for (buffer, words) in buffers.iter().zip(inputs) {
            context.queue.write_buffer(buffer, 0, bytemuck::cast_slice(words));
        }
        buffers.push(buffer(output_words));
        Self { buffers, rounded: buffer(rounded_words.max(1)), output: Staging::new(output_words, context) }
    }

    /// What a kernel of this operation binds.
    fn bound(&self, kernel: Kernel) -> Vec<&wgpu::Buffer> {
        let mut bound: Vec<_> = self.buffers.iter().collect();
        match kernel {
            Kernel::RoundX => bound = vec![bound[PRODUCT_INPUT], &self.rounded],
            Kernel::Matmul { input: Input::Rounded, .. } => bound[PRODUCT_INPUT] = &self.rounded,
            _ => {}
        }
        bound
    }

    fn product(context: &GpuContext, spec: MatrixSpec, tokens: usize) -> Self {
        let words: Vec<u32> = (0..spec.rows * spec.words_per_row()).map(mixed).collect();
        let scales = floats(spec.rows * spec.blocks_per_row());
        Self::new(context, &[&words, &scales, &floats(tokens * spec.cols)], tokens * spec.rounded_row_words(), tokens * spec.rows)
    }

    /// Attention of the last tokens that the cache has room for.
    fn attention(context: &GpuContext, spec: AttentionSpec, tokens: usize) -> Self {
        let cache = floats(spec.cache_rows() * spec.head_dim);
        let step = [(spec.context - tokens) as u32, tokens as u32, 0];
        let queries = tokens * spec.q_width();
        Self::new(context, &[&floats(queries), &cache, &cache, &step], 0, queries)
    }
}

impl Drop for Operation {
    /// A browser would free the buffers only when it collects garbage.
    fn drop(&mut self) {
        self.buffers.iter().chain([&self.rounded]).for_each(wgpu::Buffer::destroy);
    }
}

/// A word without a pattern.
fn mixed(index: usize) -> u32 {
    (index as u32 ^ 0x5bd1_e995).wrapping_mul(0x9e37_79b1).rotate_left(13).wrapping_mul(0x85eb_ca6b)
}

/// So many floats between -0.5 and 0.5, as words.
fn floats(count: usize) -> Vec<u32> {
    (0..count).map(|index| ((mixed(index) >> 8) as f32 / (1 << 24) as f32 - 0.5).to_bits()).collect()
}

/// A compiled candidate: its kernels, one behind the other.
struct Candidate(Vec<Dispatch>);

struct Dispatch {
    pipeline: wgpu::ComputePipeline,
    bindings: wgpu::BindGroup,
    grid: [u32; 3],
}

/// What a candidate gave: its values, and its time where that was measured to the end.
struct Outcome {
    values: Vec<u32>,
    dispatch_ms: Option<f64>,
}

struct Trials<'a> {
    device: &'a KernelDevice,
    context: &'a GpuContext,
    now_ms: &'a dyn Fn() -> f64,
    /// What a submission of nothing takes.
    empty_ms: f64,
}

impl<'a> Trials<'a> {
    async fn new(
        device: &'a KernelDevice,
        context: &'a GpuContext,
        now_ms: &'a dyn Fn() -> f64,
        operation: &Operation,
    ) -> Result<Self> {
        let mut trials = Self { device, context, now_ms, empty_ms: f64::INFINITY };
        for _ in 0..2 {
            trials.empty_ms = trials.run(operation, None, 0).await?.0.min(trials.empty_ms);
        }
        Ok(trials)
    }

    /// The tuning with the fastest kernel: `first`, unless one of the others is clearly faster. `others` come with growing workgroups: behind one that is
    /// hopeless, larger ones than the best are not tried. Only those count that compute what most do.
    async fn fastest(
        &self,
        operation: Operation,
        first: Tuning,
        others: &[Tuning],
        kernel: impl Fn(Tuning) -> (Kernel, [u32; 3]),
    ) -> Result<Tuning> {
        let place = |tuning: Tuning| others.iter().position(|other| kernel(*other) == kernel(tuning));
        let (mut best, mut best_ms) = (first, f64::INFINITY);
        let mut outcomes = Vec::new();
        for tuning in std::iter::once(&first).chain(others.iter().filter(|other| kernel(**other) != kernel(first))) {
            let Some(outcome) = self.measured(&operation, kernel(*tuning), best_ms).await? else { continue };
            let dispatch_ms = outcome.dispatch_ms;
            outcomes.push((*tuning, outcome));
            match dispatch_ms {
                Some(ms) if ms < best_ms => (best, best_ms) = (*tuning, ms),
                None if place(*tuning) > place(best) => break,
                _ => {}
            }
        }
        Ok(chosen(&outcomes).unwrap_or(first))
    }

    /// What a kernel gives; none where the device refuses it.
    async fn measured(&self, operation: &Operation, launch: (Kernel, [u32; 3]), best_ms: f64) -> Result<Option<Outcome>> {
        let scope = self.device.begin_upload();
        let launches = rounding(launch).into_iter().chain([launch]);
        let candidate = Candidate(launches.map(|(kernel, grid)| self.compiled(operation, kernel, grid)).collect());
        // The first run compiles what is left to compile.
        let outcome = match self.run(operation, Some(&candidate), 1).await {
            Ok((_, values)) => {
                self.timed(operation, &candidate, best_ms).await.map(|dispatch_ms| Outcome { values, dispatch_ms })
            }
            Err(error) => Err(error),
        };
        match scope.finish().await {
            Err(error) if error.kind() == ErrorKind::DeviceLost => Err(error),
            Err(_) => Ok(None),
            Ok(()) => outcome.map(Some),
        }
    }

    /// Milliseconds of a dispatch: the better of two measurements. None where it is hopeless.
    async fn timed(&self, operation: &Operation, candidate: &Candidate, best_ms: f64) -> Result<Option<f64>> {
        let mut count = 1;
        loop {
            let ms = (self.run(operation, Some(candidate), count).await?.0 - self.empty_ms).max(0.0);
            if ms > LEAST_MS && ms > HOPELESS * best_ms * f64::from(count) {
                return Ok(None);
            }
            if ms >= LEAST_MS.max(self.empty_ms) || count == MOST_DISPATCHES {
                let again_ms = (self.run(operation, Some(candidate), count).await?.0 - self.empty_ms).max(0.0);
                return Ok(Some(ms.min(again_ms) / f64::from(count)));
            }
            let factor = if ms > 0.0 { (1.25 * LEAST_MS.max(self.empty_ms) / ms).ceil().clamp(2.0, 8.0) } else { 8.0 };
            count = (count * factor as u32).min(MOST_DISPATCHES);
        }
    }

    fn compiled(&self, operation: &Operation, kernel: Kernel, grid: [u32; 3]) -> Dispatch {
        let gpu = &self.context.device;
        let label = Some("eyas calibration");
        let module = gpu.create_shader_module(wgpu::ShaderModuleDescriptor {
            label,
            source: wgpu::ShaderSource::Wgsl(kernel.source().into()),
        });
        let pipeline = gpu.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label,
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        let entries: Vec<_> = operation
            .bound(kernel)
            .into_iter()
            .zip(0..)
            .map(|(buffer, binding)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        let bindings = gpu.create_bind_group(&wgpu::BindGroupDescriptor {
            label,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        Dispatch { pipeline, bindings, grid }
    }

    /// Milliseconds of so many times a candidate from their submission to the arrival of the output, and the output.
    async fn run(&self, operation: &Operation, candidate: Option<&Candidate>, count: u32) -> Result<(f64, Vec<u32>)> {
        let label = Some("eyas calibration");
        let mut encoder = self.context.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label });
        if let Some(Candidate(dispatches)) = candidate {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label, timestamp_writes: None });
            for Dispatch { pipeline, bindings, grid: [x, y, z] } in (0..count).flat_map(|_| dispatches) {
                pass.set_pipeline(pipeline);
                pass.set_bind_group(0, bindings, &[]);
                pass.dispatch_workgroups(*x, *y, *z);
            }
        }
        if let Some(output) = operation.buffers.last() {
            encoder.copy_buffer_to_buffer(output, 0, &operation.output.buffer, 0, output.size());
        }
        let start = (self.now_ms)();
        let values = operation.output.submit(self.device, encoder).await?;
        Ok(((self.now_ms)() - start, values))
    }
}

/// The fastest of those that compute what most do; an earlier one unless a later one is clearly faster.
fn chosen(outcomes: &[(Tuning, Outcome)]) -> Option<Tuning> {
    let alike = |values: &[u32]| outcomes.iter().filter(|(_, other)| is_same(values, &other.values)).count();
    let most = outcomes.iter().map(|(_, outcome)| alike(&outcome.values)).max()?;
    let right = outcomes.iter().filter(|(_, outcome)| alike(&outcome.values) == most);
    let timed = right.filter_map(|(tuning, outcome)| outcome.dispatch_ms.map(|ms| (*tuning, ms)));
    timed.reduce(|best, next| if next.1 < GAIN * best.1 { next } else { best }).map(|(tuning, _)| tuning)
}

/// Whether two results are the same but for rounding.
fn is_same(expected: &[u32], found: &[u32]) -> bool {
    let values = |words: &[u32]| words.iter().map(|word| f32::from_bits(*word)).collect::<Vec<_>>();
    let (expected, found) = (values(expected), values(found));
    let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    expected.len() == found.len() && expected.iter().zip(&found).all(|(a, b)| (a - b).abs() <= MOST_DIFFERENCE * largest)
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::Instant};

    use eyas_core::TuningSource;
    use pollster::block_on;

    use super::*;

    #[test]
    fn what_most_compute_is_right_and_the_clearly_faster_is_taken() {
        let one = |reduce_lanes, value: f32, dispatch_ms| {
            (Tuning { reduce_lanes, ..Tuning::SOFTWARE }, Outcome { values: vec![value.to_bits()], dispatch_ms })
        };
        let lanes = |outcomes: &[(Tuning, Outcome)]| chosen(outcomes).map(|tuning| tuning.reduce_lanes);
        assert_eq!(lanes(&[]), None);
        assert_eq!(lanes(&[one(4, 1.0, Some(2.0)), one(16, 1.0, Some(1.9)), one(32, 1.0, Some(1.0))]), Some(32));
        assert_eq!(lanes(&[one(4, 1.0, Some(2.0)), one(16, 1.0, None), one(32, 1.0, Some(1.95))]), Some(4));
        // The first and fastest is the one that is wrong.
        assert_eq!(lanes(&[one(4, 7.0, Some(1.0)), one(16, 1.0, Some(3.0)), one(32, 1.00001, Some(2.0))]), Some(32));
        assert_eq!(lanes(&[one(4, f32::NAN, Some(1.0)), one(16, 1.0, Some(3.0))]), Some(16));
        // Nobody knows which of two is right.
        assert_eq!(lanes(&[one(4, 7.0, Some(3.0)), one(16, 1.0, Some(2.9))]), Some(4));
    }

    #[test]
    fn results_that_differ_by_more_than_rounding_are_told_apart() {
        let words = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert!(is_same(&words(&[1.0, -3.0]), &words(&[1.0001, -3.0])));
        assert!(!is_same(&words(&[1.0, -3.0]), &words(&[1.01, -3.0])));
        assert!(!is_same(&words(&[1.0]), &words(&[f32::NAN])));
        assert!(!is_same(&words(&[f32::NAN]), &words(&[1.0])));
        assert!(!is_same(&words(&[1.0]), &words(&[1.0, 2.0])));
    }

    #[test]
    fn a_calibration_measures_what_the_adapter_computes() {
        let Ok(device) = block_on(KernelDevice::gpu()) else { return println!("skipped: there is no GPU adapter") };
        let start = Instant::now();
        let device = block_on(device.calibrated(&|| start.elapsed().as_secs_f64() * 1000.0)).unwrap();
        let report = device.report().tuning.unwrap();
        println!("{:?} after {:?} on {}", report.sizes, start.elapsed(), device.report().name);
        report.sizes.validate().unwrap();
        assert_eq!((report.source, report.sizes), (TuningSource::Measured, device.tuning()));
    }

    /// A clock by which the runs of a calibration take so long; those after them, 31 ms.
    fn scripted(runs_ms: &[f64]) -> impl Fn() -> f64 {
        let (calls, now) = (Cell::new(0_usize), Cell::new(0.0));
        move || {
            if calls.get() % 2 == 1 {
                now.set(now.get() + runs_ms.get(calls.get() / 2).copied().unwrap_or(31.0));
            }
            calls.set(calls.get() + 1);
            now.get()
        }
    }

    #[test]
    fn the_fastest_is_taken_where_it_is_clearly_faster() {
        let Ok(device) = block_on(KernelDevice::gpu()) else { return println!("skipped: there is no GPU adapter") };
        let device = device.with_tuning(Tuning::SOFTWARE, TuningSource::Assumed);
        let tuned = |runs_ms: &[f64]| block_on(fastest(&device, &scripted(runs_ms))).unwrap();
        // All the same.
        assert_eq!(tuned(&[1.0, 1.0]), Tuning::SOFTWARE);
        // Two empty runs; then each candidate's first run, and two that count. The third takes half as long.
        let fast = [1.0, 1.0, 99.0, 31.0, 31.0, 99.0, 31.0, 31.0, 99.0, 16.0, 15.0];
        assert_eq!(tuned(&fast), Tuning::SOFTWARE.with_matvec(Tuning::MATVEC[2]));
        // The second is hopeless after one run that counts, and no larger one is tried: the next runs are those of another operation.
        let hopeless = [1.0, 1.0, 99.0, 31.0, 31.0, 99.0, 95.0, 99.0, 31.0, 31.0, 99.0, 16.0, 15.0];
        assert_eq!(tuned(&hopeless), Tuning::SOFTWARE.with_matmul(Tuning::MATMUL[0]));
        // A twentieth faster is noise.
        let noise = [1.0, 1.0, 99.0, 31.0, 31.0, 99.0, 29.5, 29.5];
        assert_eq!(tuned(&noise), Tuning::SOFTWARE);
    }
}
