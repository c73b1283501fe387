// LANES threads for a tile of rows and tokens, TILES tiles for a workgroup: row `unit0` and those TILES rows behind each other.
// With LANES = 1 there is no barrier at all, which is what software adapters need.
@compute @workgroup_size(GROUP_THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let lane = local % LANES;
    let base = (group.x + group.y * GRID_X) * GROUP_UNITS + local / LANES;
    let first = group.z * TOKENS;
// ROW
// ZERO
    for (var block = lane; block < COL_BLOCKS; block += LANES) {
// BLOCK_ZERO
        for (var i = 0u; i < STEPS; i++) {
// STEP
        }
// BLOCK_ADD
    }
// REDUCE
// STORE
}
