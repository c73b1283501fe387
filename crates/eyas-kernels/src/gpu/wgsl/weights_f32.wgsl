// Four columns of the row whose words begin at `start`; nothing behind the row's end.
fn weights_at(start: u32, step: u32) -> vec4<f32> {
    let at = start + step * 4u;
    if (step * 4u >= WORDS) {
        return vec4<f32>(0.0);
    }
    return bitcast<vec4<f32>>(vec4<u32>(words[at], words[at + 1u], words[at + 2u], words[at + 3u]));
}
