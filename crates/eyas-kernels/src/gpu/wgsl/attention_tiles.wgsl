// Positions from bounds.x to bounds.y in tiles, with online softmax.
for (var start = bounds.x; start < bounds.y; start += TILE) {
    let count = min(TILE, bounds.y - start);
    for (var p = local / KEY_LANES; p < count; p += LANES / KEY_LANES) {
        let key = cache_index(kv_head, start + p);
        /* SCORES */
    }
    workgroupBarrier();
    for (var i = local; i < count * QUERIES; i += LANES) {
        let at = i * KEY_LANES;
        let score = /* SCORE */;
        /* WEIGHT */
    }
    workgroupBarrier();
    for (var q = local; q < QUERIES; q += LANES) {
        let before = maxima[q];
        var maximum = before;
        for (var p = 0u; p < count; p++) {
            maximum = max(maximum, weights[p * QUERIES + q]);
        }
        maxima[q] = maximum;
        corrections[q] = exp(before - maximum);
    }
    workgroupBarrier();
    for (var i = local; i < count * QUERIES; i += LANES) {
        weights[i] = exp(weights[i] - maxima[i % QUERIES]);
    }
    workgroupBarrier();
    /* CORRECTIONS */
    for (var p = 0u; p < count; p++) {
        let value = cache_index(kv_head, start + p);
        /* VALUES */
    }
}
