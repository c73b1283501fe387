// Ratios of one run beside those of the committed baseline. Times are the machine's; ratios and counts are ours.
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const BASELINE = join(dirname(fileURLToPath(import.meta.url)), "baseline.json");
const MARK_FROM = 0.25;
/** Counts are averages over some tokens, of which one may fall on either side of the count's end. */
const COUNT_SLACK = 0.1;

/** Divides two medians; undefined where one is missing. */
export const ratio = (above, below) => (above === undefined || below === undefined || below === 0 ? undefined : above / below);

/** Whether a count is really more than the baseline's. */
export const grew = (now, before) => now > before * (1 + COUNT_SLACK) + 0.05;

/** Counts, and ratios by processor: how much faster one way is than another is the machine's, too. */
const readAll = () => JSON.parse(readFileSync(BASELINE, "utf8"));

/** The counts, and the ratios of this processor; without any where it has none yet. */
export function baselineOf(processor) {
  const { counts, ratios } = readAll();
  return { counts, ratios: ratios[processor] ?? {} };
}

/**
 * A baseline with this processor's ratios as they were measured; those that were not keep their old value. Counts stay: they are limits, and an average over
 * tokens of which several were in flight says less than one of them takes.
 */
export function renewed({ ratios, counts }, measured, processor) {
  const rounded = (values) => Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined).map(([name, value]) => [name, Number(value.toPrecision(3))]));
  return { ratios: { ...ratios, [processor]: { ...ratios[processor], ...rounded(measured.ratios) } }, counts: { ...rounded(measured.counts), ...counts } };
}

/** Writes this processor's baseline anew. */
export function writeBaseline(measured, processor) {
  writeFileSync(BASELINE, `${JSON.stringify(renewed(readAll(), measured, processor), undefined, 2)}\n`);
}

/**
 * Compares what was measured with the baseline. Returns lines for the screen, how many counts were held to it, and the
 * names of those that grew.
 */
export function compare(measured, baseline) {
  const lines = [];
  const grown = [];
  let held = 0;
  const show = (value) => (value === undefined ? "–" : String(Number(value.toPrecision(3))));
  const line = (name, now, before, mark) => lines.push(`${name.padEnd(52)} ${show(now).padStart(8)} ${show(before).padStart(9)}  ${mark}`.trimEnd());
  lines.push(`${"".padEnd(52)} ${"now".padStart(8)} ${"baseline".padStart(9)}`);
  for (const [name, now] of Object.entries(measured.ratios)) {
    const before = baseline.ratios[name];
    const apart = now !== undefined && before !== undefined && Math.abs(now / before - 1) > MARK_FROM;
    line(name, now, before, apart ? `<- ${now > before ? "more" : "less"} by ${Math.round(Math.abs(now / before - 1) * 100)}%` : "");
  }
  for (const [name, now] of Object.entries(measured.counts)) {
    const before = baseline.counts[name];
    if (now === undefined || before === undefined) {
      line(name, now, before, "");
      continue;
    }
    held += 1;
    const worse = grew(now, before);
    if (worse) {
      grown.push(name);
    }
    line(name, now, before, worse ? "<- GREW" : "");
  }
  return { lines, held, grown };
}
