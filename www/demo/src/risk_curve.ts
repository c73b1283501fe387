import type { CalibrationThreshold } from "eyas/slim";

import { element } from "./element";
import table from "./nano_risks.json";

interface RiskRow {
  threshold: CalibrationThreshold;
  testedRisk: number;
  testedDeferralRate: number;
  foreignDeferralRate: number | null;
}

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, EDGE] = [640, 320, 40];
const STATED = 0.05;
const percent = (share: number) => `${(100 * share).toFixed(1)}%`;

/** The deferral curve with a slider for the risk; the table is what `eyas-cli calibrate --risks` wrote. */
export class RiskCurve {
  readonly #rows: readonly RiskRow[] = table.rows;
  readonly #slider = element<HTMLInputElement>("risk");
  readonly #marker = this.#draw();
  readonly #onChange: () => void;

  constructor(onChange: () => void) {
    this.#onChange = onChange;
    this.#slider.min = "0";
    this.#slider.max = String(this.#rows.length - 1);
    this.#slider.value = String(Math.max(0, this.#rows.findIndex(({ threshold }) => threshold.alpha >= STATED - 1e-9)));
    this.#slider.addEventListener("input", () => this.#show());
    this.#slider.addEventListener("change", () => this.#onChange());
    element("use-confidence").addEventListener("change", () => this.#onChange());
    element("curve-words").textContent =
      `Quality of ${table.tested} requests that did not make the thresholds, against the part of them that goes elsewhere, the least certain first (solid) or at random (dashed). No cloud model answered: the correct answers stand for its own.`;
    this.#show();
  }

  /** The chosen threshold, unless confidence is to decide nothing. */
  get threshold(): CalibrationThreshold | undefined {
    return element<HTMLInputElement>("use-confidence").checked ? this.#row.threshold : undefined;
  }

  get #row(): RiskRow {
    return this.#rows[this.#slider.valueAsNumber] as RiskRow;
  }

  #show(): void {
    const { threshold, testedRisk, testedDeferralRate, foreignDeferralRate } = this.#row;
    element("risk-value").textContent = percent(threshold.alpha);
    this.#slider.setAttribute("aria-valuetext", percent(threshold.alpha));
    const foreign = foreignDeferralRate === null ? "" : ` Of requests of another kind (CLINC150) ${percent(foreignDeferralRate)} go.`;
    element("risk-words").textContent =
      `An answer goes elsewhere where its ${threshold.signal} is below ${threshold.threshold.toFixed(4)}: ${percent(testedDeferralRate)} of the requests that the model was made for, and ${percent(testedRisk)} stay here wrong.${foreign}`;
    const x = EDGE + testedDeferralRate * (WIDTH - 2 * EDGE);
    this.#marker.setAttribute("d", `M${x.toFixed(1)} ${EDGE}V${HEIGHT - EDGE}`);
  }

  /** Draws axes and curves, and returns the marker's line. */
  #draw(): SVGPathElement {
    const { curve } = table;
    const least = Math.min(...curve);
    const x = (rate: number) => EDGE + rate * (WIDTH - 2 * EDGE);
    const y = (quality: number) => HEIGHT - EDGE - ((quality - least) / Math.max(1 - least, 1e-9)) * (HEIGHT - 2 * EDGE);
    const points = curve.map((quality, k) => `${x(k / (curve.length - 1)).toFixed(1)} ${y(quality).toFixed(1)}`);
    this.#path(`M${EDGE} ${EDGE}V${HEIGHT - EDGE}H${WIDTH - EDGE}`, "axis");
    this.#path(`M${x(0)} ${y(curve[0] ?? 0)}L${x(1)} ${y(curve.at(-1) ?? 1)}`, "random");
    this.#path(`M${points.join("L")}`, "signal");
    this.#text(EDGE, HEIGHT - EDGE + 28, "0% go elsewhere", "start");
    this.#text(WIDTH - EDGE, HEIGHT - EDGE + 28, "100%", "end");
    this.#text(EDGE, EDGE - 14, `quality, from ${percent(least)} to 100%`, "start");
    return this.#path("", "marker");
  }

  #path(d: string, name: string): SVGPathElement {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    path.setAttribute("class", name);
    element("curve").append(path);
    return path;
  }

  #text(x: number, y: number, words: string, anchor: string): void {
    const text = document.createElementNS(SVG, "text");
    text.setAttribute("x", String(x));
    text.setAttribute("y", String(y));
    text.setAttribute("text-anchor", anchor);
    text.textContent = words;
    element("curve").append(text);
  }
}
