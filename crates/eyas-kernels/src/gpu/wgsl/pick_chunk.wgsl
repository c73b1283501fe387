// One workgroup for each chunk of each row of the logits: its largest value, the lowest id among equals, and whether all are finite.
// Floats are compared as they are, but looked at as bits: a shader compiler may assume that there are no NaNs.
fn is_finite(value: f32) -> bool {
    return (bitcast<u32>(value) & 0x7f800000u) != 0x7f800000u;
}

@compute @workgroup_size(GROUP_THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    var best = Candidate(-LARGEST, BAD);
    let end = min((group.x + 1u) * CHUNK, VOCAB);
    for (var id = group.x * CHUNK + local; id < end; id += LANES) {
        let value = logits[group.y * ROW + id];
        if (is_finite(value)) {
            best = better(best, Candidate(adjusted(value, id), id));
        } else {
            best = Candidate(LARGEST, BAD);
        }
    }
    best = reduce_best(best, local);
    if (local == 0u) {
        let at = 2u * (group.y * CHUNKS + group.x);
        chunks[at] = bitcast<u32>(best.value);
        chunks[at + 1u] = best.id;
    }
}
