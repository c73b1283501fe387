// Rows of x are whole blocks, so x is bound as vectors of four.
fn load_x(start: u32, vector: u32) -> vec4<f32> {
    return x[start + vector];
}
