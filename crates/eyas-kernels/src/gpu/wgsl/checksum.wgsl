// What a word is mixed to with its place.
fn mixed(word: u32, place: u32) -> u32 {
    let both = word ^ (place * PLACE);
    return both * ((both >> 16u) | 1u);
}

// Adds what the first extent[0] words of x are mixed to, to totals[extent[1]], modulo 2^32. The host does the same.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let words = extent[0];
    var total = 0u;
    var i = group.x * 64u + local;
    // Four at a time: a software GPU pays for every turn.
    for (; i + 3u * THREADS < words; i += 4u * THREADS) {
        total += mixed(x[i], i) + mixed(x[i + THREADS], i + THREADS);
        total += mixed(x[i + 2u * THREADS], i + 2u * THREADS) + mixed(x[i + 3u * THREADS], i + 3u * THREADS);
    }
    for (; i < words; i += THREADS) {
        total += mixed(x[i], i);
    }
    atomicAdd(&totals[extent[1]], total);
}
