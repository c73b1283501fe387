// The best of all chunks of a row of logits. Every thread must call it, and gets the same.
fn best_of_chunks(row: u32, local: u32) -> Candidate {
    var best = Candidate(-LARGEST, BAD);
    for (var chunk = local; chunk < CHUNKS; chunk += LANES) {
        let at = 2u * (row * CHUNKS + chunk);
        best = better(best, Candidate(bitcast<f32>(chunks[at]), chunks[at + 1u]));
    }
    return reduce_best(best, local);
}
