// Copies extent[1] values of each part of x, from extent[0] on, to the beginning of the same part of y; extent[2] values in all. Parts are extent[3] long
// in x and extent[4] in y.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = (group.x + group.y * GRID_X) * 64u + local;
    if (i < extent[2]) {
        let part = i / extent[1];
        let value = i % extent[1];
        y[part * extent[4] + value] = x[part * extent[3] + extent[0] + value];
    }
}
