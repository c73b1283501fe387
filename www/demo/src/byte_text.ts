const UNITS = ["B", "KiB", "MiB", "GiB"];

/** A byte count for people, e.g. `1.5 MiB`. */
export function byteText(bytes: number): string {
  const power = Math.min(bytes < 1 ? 0 : Math.floor(Math.log2(bytes) / 10), UNITS.length - 1);
  const value = bytes / 1024 ** power;
  return `${power === 0 ? value : value.toFixed(1)} ${UNITS[power]}`;
}
