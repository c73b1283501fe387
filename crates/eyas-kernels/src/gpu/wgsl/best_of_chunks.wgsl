// The best of all chunks. Every thread must call it, and gets the same.
fn best_of_chunks(local: u32) -> Candidate {
    var best = Candidate(-LARGEST, BAD);
    for (var chunk = local; chunk < CHUNKS; chunk += LANES) {
        best = better(best, Candidate(bitcast<f32>(chunks[2u * chunk]), chunks[2u * chunk + 1u]));
    }
    return reduce_best(best, local);
}

// Makes a token the next step's, and keeps it in a ring for the host.
fn hand_on(id: u32) {
    picked[step[0] % RING] = id;
    step[0] = step[0] + 1u;
    step[2] = id;
}
