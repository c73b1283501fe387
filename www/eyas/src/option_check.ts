import { EyasError } from "./error.js";

/** Throws `bad-input` where `condition` does not hold. */
export function ensure(condition: boolean, message: () => string): asserts condition {
  if (!condition) {
    throw new EyasError("bad-input", message());
  }
}

/** A value as an error message shows it: short, and never the text of a person. */
export function shown(value: unknown): string {
  if (typeof value === "number" || typeof value === "boolean" || value === null || value === undefined) {
    return String(value);
  }
  if (typeof value === "string") {
    return value.length <= 40 ? JSON.stringify(value) : `a string of ${value.length} characters`;
  }
  return Array.isArray(value) ? `an array of ${value.length}` : `a value of type ${typeof value}`;
}

/** Throws `bad-input` where `options` is no object or has a key that is not in `known`. */
export function requireKnownKeys(name: string, options: unknown, known: readonly string[]): asserts options is Record<string, unknown> {
  ensure(typeof options === "object" && options !== null && !Array.isArray(options), () => `${name} must be an object, found ${shown(options)}`);
  for (const key of Object.keys(options)) {
    ensure(known.includes(key), () => `${name} has the unknown option ${shown(key)}; known are: ${known.join(", ")}`);
  }
}

/** Throws `bad-input` unless `value` is a finite number. */
export function requireNumber(name: string, value: unknown): asserts value is number {
  ensure(typeof value === "number" && Number.isFinite(value), () => `${name} must be a finite number, found ${shown(value)}`);
}

/** Throws `bad-input` unless `value` is a whole number of at least `least` that a double holds exactly. */
export function requireInteger(name: string, value: unknown, least: number): asserts value is number {
  ensure(Number.isSafeInteger(value) && (value as number) >= least, () => `${name} must be a whole number of at least ${least}, found ${shown(value)}`);
}

/** Throws `bad-input` unless `value` is one of `choices`. */
export function requireChoice(name: string, value: unknown, choices: readonly string[]): void {
  ensure(choices.includes(value as string), () => `${name} must be one of ${choices.join(", ")}; found ${shown(value)}`);
}

/** Throws `bad-input` unless `value` is an AbortSignal. */
export function requireSignal(value: unknown): asserts value is AbortSignal {
  const signal = value as Partial<AbortSignal> | null | undefined;
  ensure(typeof signal?.aborted === "boolean" && typeof signal.addEventListener === "function", () => `signal must be an AbortSignal, found ${shown(value)}`);
}

/** Throws `bad-input` unless `value` is a function. */
export function requireFunction(name: string, value: unknown): void {
  ensure(typeof value === "function", () => `${name} must be a function, found ${shown(value)}`);
}
