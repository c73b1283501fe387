/** What went wrong, as a closed vocabulary of stable codes. */
export type ErrorCode =
  /** The environment offers no usable WebGPU adapter or device. */
  | "webgpu-unavailable"
  /** The device computes wrong values. */
  | "bad-device"
  /** The GPU device was lost while in use. */
  | "device-lost"
  /** An allocation failed on the GPU or in WebAssembly memory. */
  | "out-of-memory"
  /** The plan needs more than the budget allows; nothing was loaded. */
  | "over-budget"
  /** A file that the model needs does not exist. */
  | "model-not-found"
  /** The network failed or answered with an error status. */
  | "download-failed"
  /** The storage quota is used up. */
  | "storage-full"
  /** Bytes differ from their expected hash or length. */
  | "integrity"
  /** The model's files are malformed or contradict each other. */
  | "bad-model"
  /** The model is well formed, but needs something that Eyas does not have. */
  | "unsupported-model"
  /** The caller's arguments are invalid, or the engine was already disposed. */
  | "bad-input"
  /** Prompt and answer do not fit into the context. */
  | "context-overflow"
  /** The output constraint can't be met. */
  | "constraint-failed"
  /** The engine or session was disposed, or a loop over a stream was left, while the call was under way. */
  | "aborted"
  /** Only a local answer was allowed, and none was possible. */
  | "local-only"
  /** The cloud declined to answer. */
  | "cloud-refused"
  /** The cloud answered with an HTTP error. */
  | "cloud-http"
  /** The cloud did not answer in time. */
  | "cloud-timeout"
  /** The cloud's stream ended without a finish reason. */
  | "cloud-truncated"
  /** An invariant of Eyas itself was broken; the engine must be loaded again. */
  | "internal";

const RETRYABLE: readonly ErrorCode[] = ["device-lost", "download-failed", "cloud-http", "cloud-timeout", "cloud-truncated"];

/**
 * The one error that Eyas rejects with (aborts excepted: they reject with the signal's own reason).
 * The message says what failed, what was expected, what was found and what to do next.
 */
export class EyasError extends Error {
  override readonly name = "EyasError";
  /** What went wrong, as a stable code. */
  readonly code: ErrorCode;
  /** Whether the same call may succeed when simply tried again. */
  readonly retryable: boolean;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; retryable?: boolean } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? RETRYABLE.includes(code);
  }
}

/** An error as plain data: what crosses the worker boundary. */
export interface ErrorData {
  code: ErrorCode;
  message: string;
  retryable: boolean;
  cause?: string;
}

/** Turns whatever was thrown into plain data; what carries no code is an `internal` error. */
export function errorToData(thrown: unknown): ErrorData {
  const { code, message, retryable, cause } = (thrown ?? {}) as Partial<EyasError>;
  const text = typeof message === "string" && message !== "" ? message : String(thrown);
  if (typeof code !== "string") {
    return { code: "internal", message: text, retryable: false };
  }
  const data: ErrorData = { code, message: text, retryable: retryable ?? RETRYABLE.includes(code) };
  if (cause !== undefined) {
    data.cause = cause instanceof Error ? cause.message : String(cause);
  }
  return data;
}

/** The error that plain data describes. */
export function errorFromData(data: ErrorData): EyasError {
  return new EyasError(data.code, data.message, data);
}
