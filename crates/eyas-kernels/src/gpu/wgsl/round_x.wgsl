// A thread for each block of 32 values of x: their integers of 16 bits in pairs, the block's scale, and what weights that are stored 8 too large add.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let block = (group.x + group.y * GRID_X) * 64u + local;
    if (block >= min(arrayLength(&x) / 8u, arrayLength(&rounded) / 5u)) {
        return;
    }
    var most = vec4<f32>(0.0);
    // What is no finite number is found by its bits: a compiler may assume that there is none.
    var bits = vec4<u32>(0u);
    for (var i = 0u; i < 8u; i++) {
        let size = abs(x[block * 8u + i]);
        most = max(most, size);
        bits = max(bits, bitcast<vec4<u32>>(size) & vec4<u32>(0x7fffffffu));
    }
    let is_finite = max(max(bits.x, bits.y), max(bits.z, bits.w)) < 0x7f800000u;
    let largest = max(max(most.x, most.y), max(most.z, most.w));
    // What is smaller counts as zero: its inverse would be no number.
    let is_zero = largest < 1e-33;
    let inverse = select(32767.0 / largest, 0.0, is_zero);
    let scale = select(largest / 32767.0, 0.0, is_zero);
    var total = vec4<i32>(0);
    for (var i = 0u; i < 4u; i++) {
        let low = vec4<i32>(round(x[block * 8u + 2u * i] * inverse));
        let high = vec4<i32>(round(x[block * 8u + 2u * i + 1u] * inverse));
        total += low + high;
        let even = bitcast<vec4<u32>>(vec4<i32>(low.x, low.z, high.x, high.z)) & vec4<u32>(0xffffu);
        let odd = bitcast<vec4<u32>>(vec4<i32>(low.y, low.w, high.y, high.w)) << vec4<u32>(16u);
        rounded[block * 5u + i] = even | odd;
    }
    let offset = -8.0 * f32(total.x + total.y + total.z + total.w) * scale;
    // A block with such a value has no number as its scale, and so has what is made of it.
    rounded[block * 5u + 4u] = vec4<u32>(select(0x7fc00000u, bitcast<u32>(scale), is_finite), bitcast<u32>(offset), 0u, 0u);
}
