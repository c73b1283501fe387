// SVG plots that can be read on light and on dark ground: lines over a logarithmic axis, and bars.

const WIDTH = 720;
const HEIGHT = 380;
const FRAME = { left: 72, right: 24, top: 64, bottom: 56 };
const STYLE = `<style>
  text { font: 13px system-ui, sans-serif; fill: #24292f } .title { font-size: 16px; font-weight: 600 } .quiet { fill: #57606a }
  .grid { stroke: #d0d7de; stroke-width: 1 } .ground { fill: #ffffff }
  .s0 { stroke: #0550ae; fill: #0550ae } .s1 { stroke: #bc4c00; fill: #bc4c00 } .s2 { stroke: #1a7f37; fill: #1a7f37 } .s3 { stroke: #8250df; fill: #8250df }
  .line { fill: none; stroke-width: 2 } .range { stroke-width: 1.5; opacity: .55 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .quiet { fill: #9198a1 } .grid { stroke: #3d444d } .ground { fill: #0d1117 }
    .s0 { stroke: #79c0ff; fill: #79c0ff } .s1 { stroke: #ffa657; fill: #ffa657 } .s2 { stroke: #7ee787; fill: #7ee787 } .s3 { stroke: #d2a8ff; fill: #d2a8ff }
    .line { fill: none }
  }
</style>`;

const escaped = (text) => String(text).replace(/[&<>"]/g, (letter) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[letter]);
const round = (value) => Math.round(value * 100) / 100;
const label = (x, y, text, { anchor = "middle", kind = "", turn } = {}) => `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}"${kind && ` class="${kind}"`}${turn ? ` transform="rotate(${turn} ${round(x)} ${round(y)})"` : ""}>${escaped(text)}</text>`;

/** About `count` round numbers from 0 to at least `top`. */
export function ticks(top, count = 5) {
  if (!(top > 0)) {
    return [0, 1];
  }
  const rough = top / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough * 0.999);
  return Array.from({ length: Math.ceil(top / step - 1e-9) + 1 }, (_, index) => Number((index * step).toPrecision(12)));
}

function frame(title, description, parts) {
  return [`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(description)}">`, STYLE, `<rect class="ground" width="${WIDTH}" height="${HEIGHT}"/>`, label(FRAME.left, 26, title, { anchor: "start", kind: "title" }), ...parts, "</svg>", ""].join("\n");
}

/**
 * Lines with a mark and a range for each point. `series`: `{ name, points: [{ x, y, low, high }] }`, at most four; `x` is shown
 * in powers of two.
 */
export function lines({ title, xLabel, yLabel, series }) {
  const points = series.flatMap((one) => one.points);
  if (points.length === 0) {
    throw new RangeError(`the plot ${title} has no points`);
  }
  const [left, right] = [Math.min(...points.map(({ x }) => x)), Math.max(...points.map(({ x }) => x))];
  const marks = ticks(Math.max(...points.map(({ high }) => high)));
  const span = Math.log2(right / left) || 1;
  const x = (value) => FRAME.left + 16 + ((WIDTH - FRAME.left - FRAME.right - 32) * (right === left ? 0.5 : Math.log2(value / left) / span));
  const y = (value) => HEIGHT - FRAME.bottom - ((HEIGHT - FRAME.top - FRAME.bottom) * value) / marks.at(-1);
  const parts = [];
  for (const mark of marks) {
    parts.push(`<line class="grid" x1="${FRAME.left}" x2="${WIDTH - FRAME.right}" y1="${round(y(mark))}" y2="${round(y(mark))}"/>`, label(FRAME.left - 8, y(mark) + 4, mark, { anchor: "end", kind: "quiet" }));
  }
  for (const at of [...new Set(points.map((point) => point.x))]) {
    parts.push(label(x(at), HEIGHT - FRAME.bottom + 20, at, { kind: "quiet" }));
  }
  parts.push(label((FRAME.left + WIDTH - FRAME.right) / 2, HEIGHT - 12, xLabel), label(20, (FRAME.top + HEIGHT - FRAME.bottom) / 2, yLabel, { turn: -90 }));
  let from = FRAME.left;
  series.forEach(({ name, points: own }, index) => {
    const kind = `s${index % 4}`;
    for (const { x: at, low, high } of own) {
      parts.push(`<line class="range ${kind}" x1="${round(x(at))}" x2="${round(x(at))}" y1="${round(y(low))}" y2="${round(y(high))}"/>`);
    }
    parts.push(`<polyline class="${kind} line" points="${own.map((point) => `${round(x(point.x))},${round(y(point.y))}`).join(" ")}"/>`);
    for (const point of own) {
      parts.push(`<circle class="${kind}" cx="${round(x(point.x))}" cy="${round(y(point.y))}" r="4"/>`);
    }
    parts.push(`<circle class="${kind}" cx="${from + 5}" cy="42" r="4"/>`, label(from + 14, 46, name, { anchor: "start" }));
    from += 40 + name.length * 7;
  });
  return frame(title, `${title}: ${yLabel} against ${xLabel}`, parts);
}

/** Horizontal bars with their values. `bars`: `{ name, value, low, high, series }`; `series` chooses the colour. */
export function bars({ title, xLabel, bars: rows }) {
  if (rows.length === 0) {
    throw new RangeError(`the plot ${title} has no bars`);
  }
  const marks = ticks(Math.max(...rows.map(({ high }) => high)));
  const begin = 300;
  const x = (value) => begin + ((WIDTH - begin - 70) * value) / marks.at(-1);
  const height = (HEIGHT - FRAME.top - FRAME.bottom) / rows.length;
  const parts = marks.flatMap((mark) => [`<line class="grid" x1="${round(x(mark))}" x2="${round(x(mark))}" y1="${FRAME.top - 10}" y2="${HEIGHT - FRAME.bottom}"/>`, label(x(mark), HEIGHT - FRAME.bottom + 20, mark, { kind: "quiet" })]);
  rows.forEach(({ name, value, low, high, series = 0 }, index) => {
    const top = FRAME.top + index * height;
    const middle = top + height / 2;
    parts.push(
      label(begin - 10, middle + 4, name, { anchor: "end" }),
      `<rect class="s${series % 4}" stroke="none" x="${begin}" y="${round(top + height * 0.18)}" width="${round(x(value) - begin)}" height="${round(height * 0.64)}" opacity=".85"/>`,
      `<line class="grid" x1="${round(x(low))}" x2="${round(x(high))}" y1="${round(middle)}" y2="${round(middle)}"/>`,
      label(x(high) + 8, middle + 4, value.toLocaleString("en-US", { maximumSignificantDigits: 3 }), { anchor: "start" }),
    );
  });
  parts.push(label((begin + WIDTH) / 2, HEIGHT - 12, xLabel));
  return frame(title, `${title}: ${xLabel}`, parts);
}
