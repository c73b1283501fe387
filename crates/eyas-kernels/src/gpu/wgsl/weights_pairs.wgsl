// Four columns of the row whose words begin at `start`, two in a word; nothing behind the row's end.
fn weights_at(start: u32, step: u32) -> vec4<f32> {
    let word = step * 2u;
    if (word >= WORDS) {
        return vec4<f32>(0.0);
    }
    let second = select(vec2<f32>(0.0), pair(words[start + min(word + 1u, WORDS - 1u)]), word + 1u < WORDS);
    return vec4<f32>(pair(words[start + word]), second);
}
