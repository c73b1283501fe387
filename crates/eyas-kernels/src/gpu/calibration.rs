//! Which workgroup sizes are fastest on an adapter: measured, since neither its name nor its kind tells.
//!
//! Each candidate computes the same small operation, on buffers of its own that are gone afterwards. What computes other values than most, or is refused, is
//! not taken: a driver may compile one cut right and another one wrong.
//!
//! All candidates of an operation are measured in two rounds, so that what else the machine does for a while does not befall all measurements of one of them.
//! Where the rounds tell otherwise, what was found is not clear, and a later load may measure again.

use std::cell::Cell;

use burn::tensor::wgpu::wgpu;
use eyas_core::{ErrorKind, Result, Tuning, WeightKind};

use super::{
    backend::{attention, product, rope_append, rounding, split_attention},
    device_setup::GpuContext,
    kernel::{Kernel, Output},
    staging::Staging,
};
use crate::{AttentionSpec, KernelDevice, MatrixSpec, QkNorm, RopeSpec};

/// The matrix of a decoded token: large enough to keep a GPU busy.
const MATVEC: MatrixSpec = MatrixSpec { rows: 1024, cols: 1024, kind: WeightKind::Q4, has_bias: false };
/// The matrix of a prompt of [`TOKENS`] tokens.
const MATMUL: MatrixSpec = MatrixSpec { rows: 256, ..MATVEC };
const TOKENS: usize = 16;
/// Positions that a token's attention sees.
const POSITIONS: usize = 256;
/// Values of a head, all of which are rotated.
const HEAD_DIM: usize = 64;
const ROPE: RopeSpec = RopeSpec { rotary_dim: HEAD_DIM, qk_norm: QkNorm::None };

/// How much faster than the best so far a candidate must be: less is noise.
const GAIN: f64 = 0.9;
/// Where another candidate took less than this part of the chosen one's time in one of the rounds, the choice is not clear.
const DOUBT: f64 = 0.8;
/// A candidate that takes so many times as long as the best one is not looked at any further.
const HOPELESS: f64 = 2.0;
/// Workgroups that a single token's positions may be shared out over are tried where so many times its workgroups
const CROWD: u32 = 8;
/// take less than this part of so many times its time: others have no workgroups to spare, and nothing that fewer positions for each could bring.
const MOST_CROWDED: f64 = 0.5;
/// A measurement lasts so long at least, besides what an empty submission takes: some browsers' clocks go in steps of a millisecond.
const LEAST_MS: f64 = 10.0;
/// Dispatches of a measurement at most.
const MOST_DISPATCHES: u32 = 1024;
/// Values of two candidates differ so much at most, as a part of the largest.
const MOST_DIFFERENCE: f32 = 1e-4;

/// The fastest sizes, and whether that was clear; those that the device has now count where others are not clearly faster.
pub(crate) async fn fastest(device: &KernelDevice, now_ms: &dyn Fn() -> f64) -> Result<(Tuning, bool)> {
    let Some(context) = device.gpu_context() else { return Ok((device.tuning(), true)) };
    let mut best = device.tuning();
    let threads = context.device.limits().max_compute_invocations_per_workgroup;
    let operation = Operation::product(context, MATVEC, 1);
    let trials = Trials::new(device, context, now_ms, &operation).await?;
    let candidates = Tuning::MATVEC.map(|sizes| best.with_matvec(sizes));
    (best, _) = trials.fastest(&operation, best, &candidates, |tuning| product_launches(MATVEC, 1, tuning)).await?;

    let candidates = Tuning::MATMUL.map(|sizes| best.with_matmul(sizes));
    let operation = Operation::product(context, MATMUL, TOKENS);
    (best, _) = trials.fastest(&operation, best, &candidates, |tuning| product_launches(MATMUL, TOKENS, tuning)).await?;

    let alone = |spec, tokens, tuning| vec![Launch::new(attention(spec, tokens, tuning), &[0, 1, 2, 3, 4])];
    let spec = AttentionSpec::new(8, 2, HEAD_DIM, POSITIONS);
    let candidates: Vec<_> =
        Tuning::ATTENTION.iter().map(|sizes| best.with_attention(*sizes)).filter(|it| it.reduce_lanes <= threads).collect();
    // There is room for more tokens than one, but workgroups only for the first.
    let operation = Operation::attention(context, spec, CROWD as usize);
    let (tuning, one_token) = trials.fastest(&operation, best, &candidates, |tuning| alone(spec, 1, tuning)).await?;
    best = tuning;

    if trials.has_workgroups_to_spare(&operation, one_token).await? {
        let candidates = Tuning::ATTENTION_SPLITS.map(|attention_splits| Tuning { attention_splits, ..best });
        let operation = Operation::append_attention(context, spec);
        (best, _) = trials.fastest(&operation, best, &candidates, |tuning| append_launches(spec, tuning)).await?;
    } else {
        best.attention_splits = 1; // whatever an earlier measurement took for room
    }

    let candidates = Tuning::ATTENTION_TOKENS.map(|attention_tokens| Tuning { attention_tokens, ..best });
    // Each head with keys of its own: a workgroup has room for tokens then.
    let spec = AttentionSpec::new(8, 8, HEAD_DIM, POSITIONS);
    let operation = Operation::attention(context, spec, TOKENS);
    (best, _) = trials.fastest(&operation, best, &candidates, |tuning| alone(spec, TOKENS, tuning)).await?;
    Ok((best, trials.is_clear.get()))
}

/// A kernel, its grid, and which of its operation's buffers it binds.
#[derive(Debug, Clone, PartialEq)]
struct Launch {
    kernel: Kernel,
    grid: [u32; 3],
    bound: Vec<usize>,
}

impl Launch {
    fn new((kernel, grid): (Kernel, [u32; 3]), bound: &[usize]) -> Self {
        Self { kernel, grid, bound: bound.to_vec() }
    }
}

/// What a product takes, on the buffers of [`Operation::product`].
fn product_launches(spec: MatrixSpec, tokens: usize, tuning: Tuning) -> Vec<Launch> {
    let product = product(spec, Output::Store, tokens, tuning);
    match rounding(product) {
        None => vec![Launch::new(product, &[0, 1, 2, 4])],
        Some(rounding) => vec![Launch::new(rounding, &[2, 3]), Launch::new(product, &[0, 1, 3, 4])],
    }
}

/// What a single token takes from its queries, key and value to attention's output, on the buffers of [`Operation::append_attention`].
fn append_launches(spec: AttentionSpec, tuning: Tuning) -> Vec<Launch> {
    if tuning.attention_splits == 1 {
        let rope = rope_append(ROPE, spec, 1, tuning);
        return vec![Launch::new(rope, &[0, 1, 2, 3, 4, 5]), Launch::new(attention(spec, 1, tuning), &[5, 3, 4, 2, 6])];
    }
    let [split, join] = split_attention(ROPE, spec, 1, tuning);
    vec![Launch::new(split, &[0, 1, 2, 3, 4, 5]), Launch::new(join, &[5, 6])]
}

/// An operation with its buffers; the last one gets the result.
struct Operation {
    buffers: Vec<wgpu::Buffer>,
    output: Staging,
}

impl Operation {
    fn new(context: &GpuContext, inputs: &[&[u32]], output_words: usize) -> Self {
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
        Self { buffers, output: Staging::new(output_words, context) }
    }

    /// Words, scales, input, input rounded, output.
    fn product(context: &GpuContext, spec: MatrixSpec, tokens: usize) -> Self {
        let words: Vec<u32> = (0..spec.rows * spec.words_per_row()).map(mixed).collect();
        let scales = floats(spec.rows * spec.blocks_per_row());
        let rounded = vec![0; tokens * spec.rounded_row_words()];
        Self::new(context, &[&words, &scales, &floats(tokens * spec.cols), &rounded], tokens * spec.rows)
    }

    /// Attention of the last tokens that the cache has room for.
    fn attention(context: &GpuContext, spec: AttentionSpec, tokens: usize) -> Self {
        let cache = floats(spec.cache_rows() * spec.head_dim);
        let step = [(spec.context - tokens) as u32, tokens as u32, 0];
        let queries = tokens * spec.q_width();
        Self::new(context, &[&floats(queries), &cache, &cache, &step], queries)
    }

    /// The same of a single token: its row of the product, rotations, the step, keys, values, what lies between two kernels, output.
    fn append_attention(context: &GpuContext, spec: AttentionSpec) -> Self {
        let cache = floats(spec.cache_rows() * spec.head_dim);
        let step = [(spec.context - 1) as u32, 1, 0];
        let most = Tuning::ATTENTION_SPLITS.iter().fold(1, |most, splits| most.max(*splits as usize));
        let between = vec![0; spec.split_words(most)];
        let (row, rotations) = (floats(spec.qkv_width()), floats(spec.context * HEAD_DIM));
        Self::new(context, &[&row, &rotations, &step, &cache, &cache, &between], spec.q_width())
    }
}

impl Drop for Operation {
    /// A browser would free the buffers only when it collects garbage.
    fn drop(&mut self) {
        self.buffers.iter().for_each(wgpu::Buffer::destroy);
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

impl Candidate {
    /// The same with so many times the workgroups in the second dimension.
    fn crowded(&self, times: u32) -> Self {
        let crowded = |Dispatch { pipeline, bindings, grid: [x, y, z] }| Dispatch { pipeline, bindings, grid: [x, y * times, z] };
        Self(self.0.iter().cloned().map(crowded).collect())
    }
}

#[derive(Clone)]
struct Dispatch {
    pipeline: wgpu::ComputePipeline,
    bindings: wgpu::BindGroup,
    grid: [u32; 3],
}

/// What a candidate gave.
struct Outcome {
    candidate: Candidate,
    values: Vec<u32>,
    /// Dispatches of a measurement.
    count: u32,
    /// Milliseconds of a dispatch in each round.
    rounds_ms: [f64; 2],
}

impl Outcome {
    fn least_ms(&self) -> f64 {
        self.rounds_ms[0].min(self.rounds_ms[1])
    }
}

struct Trials<'a> {
    device: &'a KernelDevice,
    context: &'a GpuContext,
    now_ms: &'a dyn Fn() -> f64,
    /// What a submission of nothing takes.
    empty_ms: f64,
    /// Whether both rounds told the same so far.
    is_clear: Cell<bool>,
}

impl<'a> Trials<'a> {
    async fn new(
        device: &'a KernelDevice,
        context: &'a GpuContext,
        now_ms: &'a dyn Fn() -> f64,
        operation: &Operation,
    ) -> Result<Self> {
        let mut trials = Self { device, context, now_ms, empty_ms: f64::INFINITY, is_clear: Cell::new(true) };
        for _ in 0..2 {
            trials.empty_ms = trials.run(operation, None, 0).await?.0.min(trials.empty_ms);
        }
        Ok(trials)
    }

    /// The tuning with the fastest kernel, and what that kernel gave: `first`, unless one of the others is clearly faster. `others` come with growing workgroups: behind one that is
    /// hopeless, larger ones than the best are not tried. Only those count that compute what most do.
    async fn fastest(
        &self,
        operation: &Operation,
        first: Tuning,
        others: &[Tuning],
        launches: impl Fn(Tuning) -> Vec<Launch>,
    ) -> Result<(Tuning, Option<Outcome>)> {
        let place = |tuning: Tuning| others.iter().position(|other| launches(*other) == launches(tuning));
        let (mut best, mut best_ms) = (first, f64::INFINITY);
        let mut outcomes = Vec::new();
        for tuning in std::iter::once(&first).chain(others.iter().filter(|other| launches(**other) != launches(first))) {
            let Some(outcome) = self.measured(operation, &launches(*tuning), best_ms).await? else { continue };
            let ms = outcome.rounds_ms[0];
            outcomes.push((*tuning, outcome));
            if ms < best_ms {
                (best, best_ms) = (*tuning, ms);
            } else if ms > HOPELESS * best_ms && place(*tuning) > place(best) {
                break;
            }
        }
        for (_, outcome) in &mut outcomes {
            outcome.rounds_ms[1] = self.dispatch_ms(operation, &outcome.candidate, outcome.count).await?;
        }
        let Some((chosen, is_clear)) = chosen(&outcomes) else { return Ok((first, None)) };
        self.is_clear.set(self.is_clear.get() && is_clear);
        let (tuning, outcome) = outcomes.swap_remove(chosen);
        Ok((tuning, Some(outcome)))
    }

    /// Whether [`CROWD`] times the workgroups of a kernel take clearly less than so many times its time: a GPU computes them side by side then, and
    /// left much of itself idle. The kernel is compiled already, so that this costs an adapter without such room next to nothing.
    async fn has_workgroups_to_spare(&self, operation: &Operation, one: Option<Outcome>) -> Result<bool> {
        let Some(one) = one else { return Ok(false) };
        let crowd = one.candidate.crowded(CROWD);
        let (count, first_ms) = self.timed(operation, &crowd, f64::INFINITY).await?;
        let crowd_ms = [first_ms, self.dispatch_ms(operation, &crowd, count).await?];
        let has_room = |crowd_ms: f64, one_ms: f64| crowd_ms < MOST_CROWDED * f64::from(CROWD) * one_ms;
        let is_clear = has_room(crowd_ms[0], one.rounds_ms[0]) == has_room(crowd_ms[1], one.rounds_ms[1]);
        self.is_clear.set(self.is_clear.get() && is_clear);
        Ok(has_room(crowd_ms[0].min(crowd_ms[1]), one.least_ms()))
    }

    /// What a kernel gives in the first round; none where the device refuses it.
    async fn measured(&self, operation: &Operation, launches: &[Launch], best_ms: f64) -> Result<Option<Outcome>> {
        let scope = self.device.begin_upload();
        let candidate = Candidate(launches.iter().map(|launch| self.compiled(operation, launch)).collect());
        // The first run compiles what is left to compile.
        let outcome = match self.run(operation, Some(&candidate), 1).await {
            Ok((_, values)) => {
                let timed = self.timed(operation, &candidate, best_ms).await;
                timed.map(|(count, ms)| Outcome { candidate, values, count, rounds_ms: [ms; 2] })
            }
            Err(error) => Err(error),
        };
        match scope.finish().await {
            Err(error) if error.kind() == ErrorKind::DeviceLost => Err(error),
            Err(_) => Ok(None),
            Ok(()) => outcome.map(Some),
        }
    }

    /// How many dispatches last long enough to be measured, or are seen to be hopeless, and the milliseconds of one.
    async fn timed(&self, operation: &Operation, candidate: &Candidate, best_ms: f64) -> Result<(u32, f64)> {
        let mut count = 1;
        loop {
            let dispatch_ms = self.dispatch_ms(operation, candidate, count).await?;
            let ms = dispatch_ms * f64::from(count);
            let is_hopeless = ms > LEAST_MS && dispatch_ms > HOPELESS * best_ms;
            if is_hopeless || ms >= LEAST_MS.max(self.empty_ms) || count == MOST_DISPATCHES {
                return Ok((count, dispatch_ms));
            }
            let factor = if ms > 0.0 { (1.25 * LEAST_MS.max(self.empty_ms) / ms).ceil().clamp(2.0, 8.0) } else { 8.0 };
            count = (count * factor as u32).min(MOST_DISPATCHES);
        }
    }

    /// Milliseconds of one of so many dispatches.
    async fn dispatch_ms(&self, operation: &Operation, candidate: &Candidate, count: u32) -> Result<f64> {
        Ok((self.run(operation, Some(candidate), count).await?.0 - self.empty_ms).max(0.0) / f64::from(count))
    }

    fn compiled(&self, operation: &Operation, launch: &Launch) -> Dispatch {
        let gpu = &self.context.device;
        let label = Some("eyas calibration");
        let module = gpu.create_shader_module(wgpu::ShaderModuleDescriptor {
            label,
            source: wgpu::ShaderSource::Wgsl(launch.kernel.source().into()),
        });
        let pipeline = gpu.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label,
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        let entries: Vec<_> = launch
            .bound
            .iter()
            .zip(0..)
            .map(|(at, binding)| wgpu::BindGroupEntry { binding, resource: operation.buffers[*at].as_entire_binding() })
            .collect();
        let bindings = gpu.create_bind_group(&wgpu::BindGroupDescriptor {
            label,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        Dispatch { pipeline, bindings, grid: launch.grid }
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

/// Which is the fastest of those that compute what most do, an earlier one unless a later one is clearly faster; and whether none of them was so much faster
/// than that one in either round that it might as well have been another.
fn chosen(outcomes: &[(Tuning, Outcome)]) -> Option<(usize, bool)> {
    let alike = |values: &[u32]| outcomes.iter().filter(|(_, other)| is_same(values, &other.values)).count();
    let most = outcomes.iter().map(|(_, outcome)| alike(&outcome.values)).max()?;
    let right = || outcomes.iter().enumerate().filter(|(_, (_, outcome))| alike(&outcome.values) == most);
    let timed = right().map(|(index, (_, outcome))| (index, outcome));
    let (chosen, best) = timed.reduce(|best, next| if next.1.least_ms() < GAIN * best.1.least_ms() { next } else { best })?;
    let beats = |outcome: &Outcome| outcome.rounds_ms.iter().zip(best.rounds_ms).any(|(ms, best_ms)| *ms < DOUBT * best_ms);
    Some((chosen, !right().any(|(_, (_, outcome))| beats(outcome))))
}

/// Whether two results are the same but for rounding.
fn is_same(expected: &[u32], found: &[u32]) -> bool {
    let values = |words: &[u32]| words.iter().map(|word| f32::from_bits(*word)).collect::<Vec<_>>();
    let (expected, found) = (values(expected), values(found));
    let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    expected.len() == found.len() && expected.iter().zip(&found).all(|(a, b)| (a - b).abs() <= MOST_DIFFERENCE * largest)
}

#[cfg(test)]
#[path = "calibration_tests.rs"]
mod tests;
