// One thread for each value; `changed` is the formula.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = (group.x + group.y * GRID_X) * 64u + local;
    if (i < arrayLength(&x)) {
        x[i] = changed(x[i]);
    }
}
