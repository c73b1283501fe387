// One workgroup for each head of each token; positions in tiles, softmax online.
var<workgroup> q_head: array<f32, HEAD_DIM>;
var<workgroup> weights: array<f32, TILE>;
var<workgroup> visible: vec2<u32>;

@compute @workgroup_size(GROUP_THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let head = group.x;
    let token = group.y;
    let q_base = token * HEADS * HEAD_DIM + head * HEAD_DIM;
    let kv_head = head / HEADS_PER_KV;
    if (local == 0u) {
        let position = step[0] + token;
        let first = select(0u, position + 1u - WINDOW, WINDOW > 0u && position + 1u > WINDOW);
        visible = select(vec2(0u), vec2(first, min(step[0] + step[1], position + REACH)), token < step[1]);
    }
    for (var i = local; i < HEAD_DIM; i += LANES) {
        q_head[i] = q[q_base + i] * SCALE;
    }
    let bounds = workgroupUniformLoad(&visible);
    let first = bounds.x;
    let length = bounds.y;

    var maximum = -3.0e38;
    var total = 0.0;
    var sums: array<f32, DIMS_PER_LANE>;
    for (var start = first; start < length; start += TILE) {
        let count = min(TILE, length - start);
        for (var p = local; p < count; p += LANES) {
            let k_base = cache_index(kv_head, start + p);
            var score = 0.0;
            for (var i = 0u; i < HEAD_DIM; i++) {
                score += q_head[i] * k_cache[k_base + i];
            }
            weights[p] = bent(score);
        }
        workgroupBarrier();
        var tile_maximum = maximum;
        for (var p = 0u; p < count; p++) {
            tile_maximum = max(tile_maximum, weights[p]);
        }
        workgroupBarrier();
        for (var p = local; p < count; p += LANES) {
            weights[p] = exp(weights[p] - tile_maximum);
        }
        workgroupBarrier();
        let correction = exp(maximum - tile_maximum);
        maximum = tile_maximum;
        total *= correction;
        for (var p = 0u; p < count; p++) {
            total += weights[p];
        }
        for (var j = 0u; j < DIMS_PER_LANE; j++) {
            let i = local + j * LANES;
            if (i < HEAD_DIM) {
                var sum = sums[j] * correction;
                for (var p = 0u; p < count; p++) {
                    sum += weights[p] * v_cache[cache_index(kv_head, start + p) + i];
                }
                sums[j] = sum;
            }
        }
        workgroupBarrier();
    }
    if (length > 0u) {
        for (var j = 0u; j < DIMS_PER_LANE; j++) {
            let i = local + j * LANES;
            if (i < HEAD_DIM) {
                y[q_base + i] = sums[j] / total;
            }
        }
    }
}
