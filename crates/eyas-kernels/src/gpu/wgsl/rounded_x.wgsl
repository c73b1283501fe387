// Eight values of a rounded x, which are integers but for the factors that `weights_at` asks for.
fn load_x(vector: u32) -> mat2x4<f32> {
    let pairs = x[vector];
    let low = vec4<u32>(pairs.x << 16u, pairs.x & 0xffff0000u, pairs.y << 16u, pairs.y & 0xffff0000u);
    let high = vec4<u32>(pairs.z << 16u, pairs.z & 0xffff0000u, pairs.w << 16u, pairs.w & 0xffff0000u);
    return mat2x4<f32>(vec4<f32>(bitcast<vec4<i32>>(low)) * FACTORS, vec4<f32>(bitcast<vec4<i32>>(high)) * FACTORS);
}
