// The best of all chunks becomes the next step's token, and is kept in a ring for the host.
@compute @workgroup_size(GROUP_THREADS)
fn main(@builtin(local_invocation_index) local: u32) {
    var best = Candidate(-LARGEST, BAD);
    for (var chunk = local; chunk < CHUNKS; chunk += LANES) {
        best = better(best, Candidate(bitcast<f32>(chunks[2u * chunk]), chunks[2u * chunk + 1u]));
    }
    best = reduce_best(best, local);
    if (local == 0u) {
        picked[step[0] % RING] = best.id;
        step[0] = step[0] + 1u;
        step[2] = best.id;
    }
}
