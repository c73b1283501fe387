// One thread for each value of each token: the shares of attention_split become one. A share's maximum is never above the largest, so that no factor overflows.
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let e = id.x;
    if (e >= Q_WIDTH) {
        return;
    }
    let base = (id.y * HEADS + e / HEAD_DIM) * SPLITS * (HEAD_DIM + 2u);
    var largest = parts[base + HEAD_DIM];
    for (var s = 1u; s < SPLITS; s++) {
        largest = max(largest, parts[base + s * (HEAD_DIM + 2u) + HEAD_DIM]);
    }
    var sum = 0.0;
    var total = 0.0;
    for (var s = 0u; s < SPLITS; s++) {
        let part = base + s * (HEAD_DIM + 2u);
        let factor = exp(parts[part + HEAD_DIM] - largest);
        sum += factor * parts[part + e % HEAD_DIM];
        total += factor * parts[part + HEAD_DIM + 1u];
    }
    y[id.y * Q_WIDTH + e] = sum / total;
}
