// Medians, percentiles and ranges of small samples.

/** The value below which the share `percent` of `values` lies, by linear interpolation between the two nearest ranks. */
export function percentile(values, percent) {
  if (values.length === 0) {
    throw new RangeError("a percentile needs at least one value, found none");
  }
  if (!(percent >= 0 && percent <= 100)) {
    throw new RangeError(`a percentile lies from 0 to 100, found ${percent}`);
  }
  const sorted = [...values].sort((a, b) => a - b);
  const rank = (percent / 100) * (sorted.length - 1);
  const below = Math.floor(rank);
  const above = Math.ceil(rank);
  return sorted[below] + (sorted[above] - sorted[below]) * (rank - below);
}

/** The middle value, or the mean of the two in the middle. */
export const median = (values) => percentile(values, 50);

/** Median, smallest and largest value, and how many there are. */
export const summary = (values) => ({ median: median(values), min: Math.min(...values), max: Math.max(...values), n: values.length });
