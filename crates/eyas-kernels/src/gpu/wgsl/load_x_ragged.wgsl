// The last block of a row of x is incomplete; what lies behind it counts as zero.
fn load_x(start: u32, vector: u32) -> vec4<f32> {
    var values = vec4<f32>(0.0);
    for (var j = 0u; j < 4u; j++) {
        if (vector * 4u + j < COLS) {
            values[j] = x[start + vector * 4u + j];
        }
    }
    return values;
}
