/** What an answer of eyas-nano says so far. */
export interface Fields {
  intent: string;
  slots: { name: string; value: string }[];
}

function unescaped(text: string): string {
  try {
    return JSON.parse(`"${text}"`) as string;
  } catch {
    return text;
  }
}

/** Reads the intent and the complete slots from JSON that may still be growing: `{"intent": "…", "slots": [["name", "value"], …`. */
export function partialFields(json: string): Fields {
  const intent = /"intent"\s*:\s*"([^"]*)"/.exec(json)?.[1] ?? "";
  const slots = [...json.matchAll(/\[\s*"((?:[^"\\]|\\.)*)"\s*,\s*"((?:[^"\\]|\\.)*)"\s*\]/g)].map((match) => ({
    name: unescaped(match[1] ?? ""),
    value: unescaped(match[2] ?? ""),
  }));
  return { intent, slots };
}

/** Parts of an utterance: plain text, or the words of the slot with that number. */
export type Part = { text: string; slot?: number };

/** Finds each slot's words in the utterance, in order where possible. */
export function markedParts(utterance: string, slots: Fields["slots"]): Part[] {
  const found: { start: number; end: number; slot: number }[] = [];
  const free = (start: number, end: number) => found.every((other) => end <= other.start || start >= other.end);
  let from = 0;
  slots.forEach(({ value }, slot) => {
    if (value === "") {
      return;
    }
    for (const begin of [from, 0]) {
      let start = utterance.indexOf(value, begin);
      while (start >= 0 && !free(start, start + value.length)) {
        start = utterance.indexOf(value, start + 1);
      }
      if (start >= 0) {
        from = start + value.length;
        found.push({ start, end: from, slot });
        return;
      }
    }
  });
  found.sort((a, b) => a.start - b.start);
  const parts: Part[] = [];
  let at = 0;
  for (const { start, end, slot } of found) {
    if (start > at) {
      parts.push({ text: utterance.slice(at, start) });
    }
    parts.push({ text: utterance.slice(start, end), slot });
    at = end;
  }
  if (at < utterance.length) {
    parts.push({ text: utterance.slice(at) });
  }
  return parts;
}

/** `BookRestaurant` → `Book restaurant`, `party_size_number` → `party size number`. */
export function readable(name: string): string {
  const words = name.replace(/_/g, " ").replace(/([a-z])([A-Z])/g, (_, left: string, right: string) => `${left} ${right.toLowerCase()}`);
  return words;
}
