// Copies extent[1] values of x, from extent[0] on, to the beginning of y.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = (group.x + group.y * GRID_X) * 64u + local;
    if (i < extent[1]) {
        y[i] = x[extent[0] + i];
    }
}
