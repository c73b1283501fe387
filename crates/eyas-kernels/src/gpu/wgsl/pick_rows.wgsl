// The best of all chunks of each row of logits: one workgroup for each row.
@compute @workgroup_size(GROUP_THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let best = best_of_chunks(group.x, local);
    if (local == 0u) {
        picked[group.x] = best.id;
    }
}
