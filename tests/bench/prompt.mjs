// Prompts of about a wanted number of tokens, another one for every seed, so that no cache of an earlier prompt helps.

const WORDS = "time people way day man thing woman life child world school state family student group country problem hand part place case week company system program question work government number night point home water room mother area money story fact month lot right study book eye job word business issue side kind head house service friend father power hour game line end member law car city community name president team minute idea kid body information back parent face others level office door health person art war history party result change morning reason research girl guy moment air teacher force education".split(" ");

function* numbers(seed) {
  let state = (0x2545_f491 ^ Math.imul(seed, 2_654_435_761)) >>> 0;
  for (;;) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    yield state >>> 8;
  }
}

/**
 * `count` pieces of text, each of which is about one token: letters for a vocabulary of bytes ("letters"), common words
 * with a space before them for any other ("words").
 */
export function promptPieces(kind, count, seed) {
  const draw = numbers(seed);
  const next = () => draw.next().value;
  return Array.from({ length: count }, () => (kind === "letters" ? String.fromCharCode(97 + (next() % 26)) : ` ${WORDS[next() % WORDS.length]}`));
}

/** The pieces as one text. */
export const promptText = (kind, count, seed) => promptPieces(kind, count, seed).join("");
