// One workgroup for each token.
@compute @workgroup_size(GROUP_THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let base = group.x * COLS;
    var squares = 0.0;
    for (var i = local; i < COLS; i += LANES) {
        squares += x[base + i] * x[base + i];
    }
    let mean = reduce(squares, local, local) / f32(COLS);
    let factor = 1.0 / sqrt(mean + EPSILON);
    for (var i = local; i < COLS; i += LANES) {
        y[base + i] = x[base + i] * factor * weight[i];
    }
}
