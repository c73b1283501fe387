// 0.5 x (1 + erf(x / sqrt(2))); erf by formula 7.1.26 of Abramowitz and Stegun, within 1.5e-7.
fn gelu(x: f32) -> f32 {
    let z = abs(x) * 0.70710678;
    let t = 1.0 / (1.0 + 0.3275911 * z);
    let series = ((((1.0614054 * t - 1.453152) * t + 1.4214138) * t - 0.28449674) * t + 0.2548296) * t;
    return 0.5 * (x + abs(x) * (1.0 - series * exp(-z * z)));
}
