// Four columns of the row whose words begin at `start`; nothing behind the row's end.
fn weights_at(start: u32, step: u32) -> vec4<f32> {
    var weights = vec4<f32>(0.0);
    for (var j = 0u; j < 4u; j++) {
        if (step * 4u + j < WORDS) {
            weights[j] = bitcast<f32>(words[start + step * 4u + j]);
        }
    }
    return weights;
}
