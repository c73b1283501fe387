// One workgroup for each token. A thread reads back only what it wrote itself, so no barrier stands between the two passes.
@compute @workgroup_size(GROUP_THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let base = group.x * COLS;
    var factor = MULTIPLIER;
    POST
    var squares = 0.0;
    for (var i = local; i < COLS; i += LANES) {
        let sum = residual[base + i] + x[base + i] * factor POST_WEIGHT;
        residual[base + i] = sum;
        squares += sum * sum;
    }
    NEXT
}
