// One workgroup for each token: the mean, then the variance around it, then the affine map. A thread reads back only what it wrote itself.
@compute @workgroup_size(GROUP_THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let base = group.x * COLS;
    var total = 0.0;
    for (var i = local; i < COLS; i += LANES) {
        let sum = x[base + i]ADDED;
        y[base + i] = sum;
        total += sum;
    }
    let mean = reduce(total, local, local) / f32(COLS);
    var squares = 0.0;
    for (var i = local; i < COLS; i += LANES) {
        let centred = y[base + i] - mean;
        squares += centred * centred;
    }
    let factor = 1.0 / sqrt(reduce(squares, local, local) / f32(COLS) + EPSILON);
    for (var i = local; i < COLS; i += LANES) {
        y[base + i] = (y[base + i] - mean) * factor * weight[i] + bias[i];
    }
}
