// The 16 upper bits are where integers of x stand; nibbles stay where they stand in half a word, 1, 16, 256 and 4,096 times as large, and 8 too large.
const FACTORS: vec4<f32> = vec4<f32>(0x1p-16f, 0x1p-20f, 0x1p-24f, 0x1p-28f);
const NIBBLES: vec4<u32> = vec4<u32>(0xfu, 0xf0u, 0xf00u, 0xf000u);

// Eight columns of the row whose words begin at `start`.
fn weights_at(start: u32, step: u32) -> mat2x4<f32> {
    let word = words[start + step];
    let low = bitcast<vec4<i32>>(vec4<u32>(word) & NIBBLES);
    let high = bitcast<vec4<i32>>(vec4<u32>(word >> 16u) & NIBBLES);
    return mat2x4<f32>(vec4<f32>(low), vec4<f32>(high));
}
