// Rows of x are whole blocks, so x is bound as vectors of four.
fn load_x(token: u32, col: u32) -> vec4<f32> {
    return x[(token * COLS + col) / 4u];
}
