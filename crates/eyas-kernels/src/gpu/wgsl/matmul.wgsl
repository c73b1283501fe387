// GROUP_ROWS rows for a workgroup, LANES threads for a row, TOKENS tokens for a thread.
// With LANES = 1 there is no barrier at all, which is what software adapters need.

fn product(row: u32, lane: u32, first: u32) -> array<f32, TOKENS> {
    var sums: array<f32, TOKENS>;
    for (var block = lane; block < COL_BLOCKS; block += LANES) {
        let weights = load_block(row, block);
        for (var t = 0u; t < TOKENS; t++) {
            var acc = vec4<f32>(0.0);
            for (var i = 0u; i < 8u; i++) {
                acc += weights[i] * load_x(first + t, block * 32u + i * 4u);
            }
            sums[t] += acc.x + acc.y + acc.z + acc.w;
        }
    }
    return sums;
}

@compute @workgroup_size(GROUP_THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let lane = local % LANES;
    let unit = (group.x + group.y * GRID_X) * GROUP_ROWS + local / LANES;
    let first = group.z * TOKENS;
    let row = min(unit, UNITS - 1u);
    var sums = product(row, lane, first);
    REDUCE
    GATE
    if (lane == 0u && unit < UNITS) {
        for (var t = 0u; t < TOKENS; t++) {
            let at = (first + t) * UNITS + row;
            STORE
        }
    }
}
