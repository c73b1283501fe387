import { ensure, shown } from "./option_check.js";

/** A model's files by name (`config.json`, `tokenizer.json`, `model.safetensors`, …), each with where it is. */
export interface ModelFiles {
  /** What the model is called in `info.model` and in messages. */
  name?: string;
  /** Per file name: a URL, or its bytes. */
  files: Readonly<Record<string, string | URL | Blob>>;
}

/**
 * Where a model's files are:
 * - `"https://…/folder/"`: a folder laid out like a Hugging Face repository;
 * - `"https://…/file.gguf"`: a GGUF file; of a split model any part, `…-00001-of-00003.gguf`: the others are found beside it;
 * - `"org/name"`: a repository on the Hugging Face hub, `"org/name/file.gguf"` a file in it;
 * - files that a person chose or dropped: such a folder's files, or one `.gguf`, or all parts of one;
 * - `{ files }`: the same, each by name.
 *
 * Relative URLs start with `/`, `./` or `../` and are resolved against the page.
 */
export type ModelSource = string | URL | readonly File[] | FileList | ModelFiles;

/** A model source as the worker gets it: every URL is absolute. */
export type WireSource =
  | { kind: "folder"; url: string }
  | { kind: "gguf"; url: string }
  | { kind: "files"; name?: string; files: { name: string; blob?: Blob; url?: string }[] };

const HUB = "https://huggingface.co";

/** The URL that `text` names on the page at `base`; throws `bad-input`. */
export function absolute(text: string, base: string): URL {
  try {
    return new URL(text, base || undefined);
  } catch {
    ensure(false, () => `model has a malformed URL: ${shown(text)}`);
  }
}

function fromUrl(url: URL): WireSource {
  ensure(["http:", "https:", "blob:"].includes(url.protocol), () => `model must be an http or https URL, found the scheme ${shown(url.protocol)}`);
  url.hash = "";
  if (url.pathname.toLowerCase().endsWith(".gguf")) {
    return { kind: "gguf", url: url.href };
  }
  if (!url.pathname.endsWith("/")) {
    url.pathname += "/";
  }
  return { kind: "folder", url: url.href };
}

function fromText(text: string, base: string): WireSource {
  const model = text.trim();
  if (/^[a-z][a-z0-9+.-]*:/i.test(model) || /^\.{0,2}\//.test(model)) {
    return fromUrl(absolute(model, base));
  }
  const hub = /^([\w.-]+)\/([\w.-]+)(?:\/([\w./-]+\.gguf))?$/i.exec(model);
  ensure(hub !== null, () => `model must be a URL, a relative URL that starts with ./ or /, or "org/name"; found ${shown(text)}`);
  const [, org, name, file] = hub;
  return fromUrl(new URL(`${HUB}/${org}/${name}/resolve/main/${file ?? ""}`));
}

/** Bundlers inline small files as `data:` URLs; they become a Blob here, so that a strict `connect-src` does not refuse them. */
function blobFromDataUrl(url: string): Blob {
  const comma = url.indexOf(",");
  const [type = "", ...flags] = url.slice(5, comma).split(";");
  const body = decodeURIComponent(url.slice(comma + 1));
  const bytes = flags.includes("base64") ? Uint8Array.from(atob(body), (char) => char.charCodeAt(0)) : new TextEncoder().encode(body);
  return new Blob([bytes], { type });
}

function fromFile(name: string, where: unknown, base: string): { name: string; blob?: Blob; url?: string } {
  ensure(name !== "", () => "model has a file without a name");
  if (where instanceof Blob) {
    return { name, blob: where };
  }
  ensure(typeof where === "string" || where instanceof URL, () => `model file ${shown(name)} must be a URL or a Blob, found ${shown(where)}`);
  const url = absolute(String(where), base);
  return url.protocol === "data:" ? { name, blob: blobFromDataUrl(url.href) } : { name, url: url.href };
}

/** A file's name in the folder that a person chose, with the folders inside it: an encoder's `1_Pooling/config.json` is one more `config.json`. */
function nameInFolder(file: File): string {
  return file.webkitRelativePath ? file.webkitRelativePath.split("/").slice(1).join("/") : file.name;
}

/** Checks a model source, throws `bad-input`, and makes its URLs absolute against `base`. */
export function wireSource(model: ModelSource, base: string): WireSource {
  if (typeof model === "string") {
    return fromText(model, base);
  }
  if (model instanceof URL) {
    return fromUrl(new URL(model));
  }
  ensure(typeof model === "object" && model !== null, () => `model must be a URL, "org/name", a list of files or { files }; found ${shown(model)}`);
  const entries: [string, unknown][] =
    "files" in model
      ? Object.entries(model.files ?? {})
      : Array.from(model as ArrayLike<File>, (file) => [file instanceof Blob && "name" in file ? nameInFolder(file) : "", file]);
  ensure(entries.length > 0, () => "model has no files; expected config.json, tokenizer.json and *.safetensors, or one .gguf");
  const files = entries.map(([name, where]) => fromFile(name, where, base));
  const name = "name" in model && typeof model.name === "string" ? { name: model.name } : {};
  return { kind: "files", ...name, files };
}
