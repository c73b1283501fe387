// Bias, then penalties, in the sampler's order. For each id a bias, and how often it is in the answer; the highest bit says that it is in the prompt.
fn adjusted(logit: f32, id: u32) -> f32 {
    if ((parameters[FLAGS] & ADJUST) == 0u) {
        return logit;
    }
    var value = logit + bitcast<f32>(adjustments[2u * id]);
    let seen = adjustments[2u * id + 1u];
    let repetition = bitcast<f32>(parameters[REPETITION]);
    if (seen != 0u && repetition != 1.0) {
        value = select(value * repetition, value / repetition, value > 0.0);
    }
    let count = seen & 0x7fffffffu;
    if (count != 0u) {
        value -= bitcast<f32>(parameters[PRESENCE]) + bitcast<f32>(parameters[FREQUENCY]) * f32(count);
    }
    logits[id] = value;
    return value;
}
