// The id of a logit that is not finite; it wins over everything, so that it can't go unseen.
const BAD: u32 = 0xffffffffu;
const LARGEST: f32 = 0x1.fffffep+127f;

struct Candidate {
    value: f32,
    id: u32,
}

var<workgroup> candidates: array<Candidate, GROUP_THREADS>;

fn better(a: Candidate, b: Candidate) -> Candidate {
    if (b.value > a.value || (b.value == a.value && b.id < a.id)) {
        return b;
    }
    return a;
}

// The best candidate of the workgroup, valid in thread 0. Every thread must call it.
fn reduce_best(mine: Candidate, local: u32) -> Candidate {
    candidates[local] = mine;
    workgroupBarrier();
    for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
        if (local < stride) {
            candidates[local] = better(candidates[local], candidates[local + stride]);
        }
        workgroupBarrier();
    }
    return candidates[0];
}
