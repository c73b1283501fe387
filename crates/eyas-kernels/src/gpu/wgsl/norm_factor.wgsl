// What makes the root mean square of so many values from `start` on one.
fn norm_factor(start: u32, width: u32, local: u32) -> f32 {
    var squares = 0.0;
    for (var i = local; i < width; i += LANES) {
        let value = qkv[row + start + i];
        squares += value * value;
    }
    return 1.0 / sqrt(reduce(squares, local, local) / f32(width) + EPSILON);
}
