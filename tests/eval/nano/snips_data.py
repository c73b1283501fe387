"""Reads the SNIPS 2017 utterances and cuts a held-out dev split from them.

An utterance is kept as a list of (text, slot name or None) pieces; joined, the
pieces give back exactly what the person wrote.
"""

import json
import random
from dataclasses import dataclass
from pathlib import Path

INTENTS = (
    "AddToPlaylist",
    "BookRestaurant",
    "GetWeather",
    "PlayMusic",
    "RateBook",
    "SearchCreativeWork",
    "SearchScreeningEvent",
)
SPLIT_SEED = 20_170_701
DEV_SHARE = 0.10


@dataclass(frozen=True)
class Utterance:
    intent: str
    pieces: tuple  # of (text, slot name or None)

    @property
    def text(self):
        return "".join(text for text, _ in self.pieces)

    @property
    def slots(self):
        return [[name, text] for text, name in self.pieces if name is not None]

    def spans(self):
        """(start, end, slot name) in characters, in order of appearance."""
        found, at = [], 0
        for text, name in self.pieces:
            if name is not None:
                found.append((at, at + len(text), name))
            at += len(text)
        return found

    def target(self):
        answer = {"intent": self.intent, "slots": self.slots}
        return json.dumps(answer, ensure_ascii=False)


def decode_text(raw):
    """UTF-8, also where an emoji was written as two surrogate halves; else Latin-1."""
    try:
        halves = raw.decode("utf-8", errors="surrogatepass")
        return halves.encode("utf-16", errors="surrogatepass").decode("utf-16")
    except UnicodeError:
        return raw.decode("latin-1")


def tidy(pieces):
    """Moves white space out of slot values and off both ends of the utterance."""
    flat = []
    for text, name in pieces:
        core = text.strip()
        if name is None or not core:
            flat.append((text, None))
            continue
        lead = text[: len(text) - len(text.lstrip())]
        tail = text[len(text.rstrip()) :]
        flat += [(lead, None), (core, name), (tail, None)]
    merged = []
    for text, name in flat:
        if not text:
            continue
        if name is None and merged and merged[-1][1] is None:
            merged[-1] = (merged[-1][0] + text, None)
        else:
            merged.append((text, name))
    if merged and merged[0][1] is None:
        merged[0] = (merged[0][0].lstrip(), None)
    if merged and merged[-1][1] is None:
        merged[-1] = (merged[-1][0].rstrip(), None)
    return tuple(piece for piece in merged if piece[0])


def read_intent(folder, intent):
    raw = (Path(folder) / f"train_{intent}_full.json").read_bytes()
    entries = json.loads(decode_text(raw))[intent]
    for entry in entries:
        pieces = [(part["text"], part.get("entity")) for part in entry["data"]]
        yield Utterance(intent, tidy(pieces))


def load_split(folder, dev_share=DEV_SHARE, seed=SPLIT_SEED):
    """Returns (train, dev). Within an intent, a repeated wording counts once, so
    no dev utterance has a twin (ignoring case and spacing) in its training part."""
    train, dev, seen = [], [], set()
    for intent in INTENTS:
        unique = []
        for utterance in read_intent(folder, intent):
            key = " ".join(utterance.text.casefold().split())
            if key and key not in seen:
                seen.add(key)
                unique.append(utterance)
        random.Random(f"{seed}-{intent}").shuffle(unique)
        held_out = round(len(unique) * dev_share)
        dev += unique[:held_out]
        train += unique[held_out:]
    return train, dev
