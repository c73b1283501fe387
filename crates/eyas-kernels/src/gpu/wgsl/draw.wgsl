// Draws the next token from the adjusted logits: top-k, top-p, min-p, then the token at `unit` of the mass that is kept, walked from the lowest id
// to the highest. What a filter keeps is everything above a border in the order of logits, the lower id first among equals; the border is found
// by its bits, three at a time, so that nothing is sorted and no other order of launches gives another token.
const WAYS: u32 = 7u;
const ROUNDS: u32 = 11u;
const LAST_ID: u32 = 0xffffffffu;

var<workgroup> tallies: array<array<f32, WAYS>, GROUP_THREADS>;
var<workgroup> filters: u32;
var<workgroup> found: u32;
var<workgroup> remaining: f32;

var<private> top: f32;
var<private> inverse_temperature: f32;

// Kept are larger keys, and of equal ones ids up to `last`.
struct Border {
    key: u32,
    last: u32,
}

// What is tallied of the tokens that a border keeps: one for each, its weight where that is at least `least`, or one for each at the border itself.
const ONE: u32 = 0u;
const WEIGHT: u32 = 1u;
const TIE: u32 = 2u;

struct Tally {
    border: Border,
    kind: u32,
    least: f32,
}

fn number(at: u32) -> f32 {
    return bitcast<f32>(parameters[at]);
}

// Orders as the values do; both zeros are one.
fn key_of(value: f32) -> u32 {
    let bits = bitcast<u32>(select(value, 0.0, value == 0.0));
    return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

fn value_of(key: u32) -> f32 {
    return bitcast<f32>(select(~key, key & 0x7fffffffu, (key & 0x80000000u) != 0u));
}

// exp((logit - top) / temperature), 0 where that is no normal number.
fn weight_of(value: f32) -> f32 {
    let exponent = max((value - top) * inverse_temperature, -100.0);
    return select(exp(exponent), 0.0, exponent < -87.0);
}

fn amount(tally: Tally, id: u32) -> f32 {
    let value = logits[id];
    let key = key_of(value);
    if (key < tally.border.key || (key == tally.border.key && id > tally.border.last)) {
        return 0.0;
    }
    if (tally.kind != WEIGHT) {
        return select(0.0, 1.0, tally.kind == ONE || key == tally.border.key);
    }
    let weight = weight_of(value);
    return select(0.0, weight, weight >= tally.least);
}

// For each way what is tallied of keys that are at least `low + (way + 1) * step`. Every thread must call it, and gets the same.
fn measure(tally: Tally, low: u32, step: u32, local: u32) -> array<f32, WAYS> {
    var mine: array<f32, WAYS>;
    for (var chunk = 0u; chunk < CHUNKS; chunk++) {
        // A chunk's best value is known.
        if (key_of(bitcast<f32>(chunks[2u * chunk])) < low) {
            continue;
        }
        let end = min((chunk + 1u) * CHUNK, VOCAB);
        for (var id = chunk * CHUNK + local; id < end; id += LANES) {
            let key = key_of(logits[id]);
            if (key >= low) {
                let value = amount(tally, id);
                for (var way = 0u; way < WAYS; way++) {
                    mine[way] += select(0.0, value, key >= low + (way + 1u) * step);
                }
            }
        }
    }
    workgroupBarrier();
    tallies[local] = mine;
    workgroupBarrier();
    for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
        if (local < stride) {
            for (var way = 0u; way < WAYS; way++) {
                tallies[local][way] += tallies[local + stride][way];
            }
        }
        workgroupBarrier();
    }
    return tallies[0];
}

// The lowest id at which the running tally exceeds `goal`, or the last that counts. Every thread must call it, and gets the same.
fn locate(tally: Tally, goal: f32, local: u32) -> u32 {
    var begin = 0u;
    var size = VOCAB;
    var rest = goal;
    for (var level = 0u; level < 2u; level++) {
        let span = (size + LANES - 1u) / LANES;
        var sum = 0.0;
        let end = begin + min((local + 1u) * span, size);
        for (var id = begin + local * span; id < end; id++) {
            sum += amount(tally, id);
        }
        workgroupBarrier();
        tallies[local][0] = sum;
        workgroupBarrier();
        if (local == 0u) {
            var passed = 0.0;
            for (var lane = 0u; lane < LANES && passed <= rest; lane++) {
                let own = tallies[lane][0];
                if (own > 0.0) {
                    found = lane;
                    remaining = rest - passed;
                    passed += own;
                }
            }
        }
        workgroupBarrier();
        rest = remaining;
        let skipped = found * span;
        begin += skipped;
        size = min(span, size - skipped);
    }
    workgroupBarrier();
    if (local == 0u) {
        var passed = 0.0;
        for (var id = begin; id < begin + size && passed <= rest; id++) {
            let own = amount(tally, id);
            if (own > 0.0) {
                found = id;
                passed += own;
            }
        }
    }
    workgroupBarrier();
    return found;
}

// The border of the smallest set of the largest logits within `tally.border` whose tally reaches `goal`. Every thread must call it.
fn smallest_reaching(tally: Tally, goal: f32, local: u32) -> Border {
    var low = 0u;
    var step = 1u << 29u;
    for (var round = 0u; round < ROUNDS; round++) {
        let reached = measure(tally, low, step, local);
        var ways = 0u;
        for (var way = 0u; way < WAYS; way++) {
            ways += select(0u, 1u, reached[way] >= goal);
        }
        low += ways * step;
        step = max(step >> 3u, 1u);
    }
    // Of the tokens at the border itself, as many of the lowest ids as are needed.
    let above = measure(tally, low + 1u, 0u, local)[0];
    let each = select(1.0, max(weight_of(value_of(low)), 1e-37), tally.kind == WEIGHT);
    let needed = max(ceil((goal - above) / each), 1.0);
    let edge = Border(low, select(LAST_ID, tally.border.last, low == tally.border.key));
    return Border(low, locate(Tally(edge, TIE, 0.0), needed - 0.5, local));
}

@compute @workgroup_size(GROUP_THREADS)
fn main(@builtin(local_invocation_index) local: u32) {
    let best = best_of_chunks(0u, local);
    top = best.value;
    inverse_temperature = number(INVERSE_TEMPERATURE);
    if (local == 0u) {
        filters = parameters[FLAGS];
    }
    let wanted = workgroupUniformLoad(&filters);
    var border = Border(0u, LAST_ID);
    if ((wanted & TOP_K) != 0u) {
        border = smallest_reaching(Tally(border, ONE, 0.0), number(K), local);
    }
    if ((wanted & TOP_P) != 0u) {
        let all = Tally(border, WEIGHT, 0.0);
        let mass = measure(all, 0u, 0u, local)[0];
        border = smallest_reaching(all, max(number(P) * mass, 1e-30), local);
    }
    let kept = Tally(border, WEIGHT, number(MIN_P));
    let mass = measure(kept, 0u, 0u, local)[0];
    let unit = number(UNITS + step[0] % RING);
    let drawn = locate(kept, unit * mass, local);
    if (local == 0u) {
        // A logit that is not finite must be seen.
        let id = select(drawn, BAD, best.id == BAD);
        if ((wanted & ADJUST) != 0u && id != BAD) {
            adjustments[2u * id + 1u] += 1u;
        }
        hand_on(id);
    }
}
