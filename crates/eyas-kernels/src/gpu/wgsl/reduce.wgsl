var<workgroup> partial: array<f32, GROUP_THREADS>;

// The sum of `value` over the LANES threads of a row, valid in lane 0. Every thread of the workgroup must call it.
fn reduce(value: f32, local: u32, lane: u32) -> f32 {
    partial[local] = value;
    workgroupBarrier();
    for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
        if (lane < stride) {
            partial[local] += partial[local + stride];
        }
        workgroupBarrier();
    }
    let total = partial[local - lane];
    workgroupBarrier();
    return total;
}
