fn adjusted(logit: f32, id: u32) -> f32 {
    return logit;
}
