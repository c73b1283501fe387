// The best of all chunks becomes the next step's token.
@compute @workgroup_size(GROUP_THREADS)
fn main(@builtin(local_invocation_index) local: u32) {
    let best = best_of_chunks(0u, local);
    if (local == 0u) {
        hand_on(best.id);
    }
}
