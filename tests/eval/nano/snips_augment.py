"""Makes label-preserving variants of the training utterances.

Values come from the training part of the split only, and from lists of names of
general knowledge.
"""

import re
from collections import defaultdict

from known_names import KNOWN_NAMES
from snips_data import Utterance

# Slots whose values are interchangeable between intents.
SHARED_POOLS = {"artist", "city", "state", "country", "timeRange"}
# Slots whose value decides how its neighbours are labelled ("the album X").
NEVER_SWAPPED = {"music_item", "object_part_of_series_type"}
# Free-form names, for which invented values are as good as collected ones.
OPEN_NAMES = {
    "album",
    "artist",
    "entity_name",
    "movie_name",
    "object_name",
    "playlist",
    "poi",
    "restaurant_name",
    "track",
}
LEADING_WORDS = {"a", "an", "at", "for", "in", "on", "the", "this", "next", "within"}
OPENERS = (
    "please ",
    "hey, ",
    "hi, ",
    "ok ",
    "okay, ",
    "can you ",
    "could you ",
    "could you please ",
    "would you ",
    "i want you to ",
    "i'd like you to ",
    "quick, ",
    "go ahead and ",
)
CLOSERS = (" please", ", please", " thanks", ", thanks", " for me", " now please")
REPHRASED_OPENINGS = {
    "add": ("put", "stick", "include", "throw"),
    "book": ("reserve", "get me", "make a reservation for"),
    "find": ("search for", "look up", "look for", "show me"),
    "play": ("put on", "start playing", "i want to hear", "let me hear"),
    "rate": ("give", "score"),
    "show": ("find", "bring up"),
}
IMPERATIVES = set(REPHRASED_OPENINGS) | {"give", "search", "put", "look", "tell", "make"}


class Augmenter:
    def __init__(self, train, rng, known_share):
        """known_share: how often a swapped-in value is taken from the known names."""
        self.rng = rng
        self.known_share = known_share
        self.pools = defaultdict(list)
        for utterance in train:
            for name, value in utterance.slots:
                self.pools[self._pool_key(utterance.intent, name)].append(value)

    @staticmethod
    def _pool_key(intent, name):
        return name if name in SHARED_POOLS else (intent, name)

    def vary(self, utterance, strength):
        """One random variant; strength 0 leaves the utterance as it is."""
        rng = self.rng
        pieces = list(utterance.pieces)
        if rng.random() < 0.70 * strength:
            pieces = [self._swap(utterance.intent, *piece) for piece in pieces]
        if rng.random() < 0.12 * strength:
            pieces = self._rephrase_opening(utterance.intent, pieces)
        if rng.random() < 0.10 * strength:
            pieces = self._open_politely(pieces)
        if rng.random() < 0.30 * strength:
            pieces = self._change_closing(pieces)
        if rng.random() < 0.30 * strength:
            pieces = self._change_case(pieces)
        return Utterance(utterance.intent, tuple(pieces))

    def _swap(self, intent, text, name):
        rng = self.rng
        if name is None or name in NEVER_SWAPPED or rng.random() < 0.4:
            return text, name
        pool = self.pools[self._pool_key(intent, name)]
        value = rng.choice(pool)
        for _ in range(4):
            if name in OPEN_NAMES or leading_word(value) == leading_word(text):
                break
            value = rng.choice(pool)
        if self.known_share and name in KNOWN_NAMES and rng.random() < self.known_share:
            value = rng.choice(KNOWN_NAMES[name])
        if name in OPEN_NAMES and rng.random() < 0.25:
            value = self._cross(value, rng.choice(pool))
        if text == text.lower() and rng.random() < 0.5:
            value = value.lower()
        return value, name

    def _cross(self, first, second):
        """Head words of one name, then tail words of another."""
        head, tail = first.split(), second.split()
        kept_head = head[: self.rng.randint(1, len(head))]
        kept_tail = tail[self.rng.randint(0, len(tail) - 1) :]
        return " ".join((kept_head + kept_tail)[:8])

    def _rephrase_opening(self, intent, pieces):
        text, name = pieces[0]
        match = re.match(r"[A-Za-z]+", text)
        word = match.group().lower() if match else ""
        if name is not None or word not in REPHRASED_OPENINGS:
            return pieces
        if word == "rate" and intent == "RateBook":
            choices = ("give", "score", "rate")
        else:
            choices = REPHRASED_OPENINGS[word]
        fresh = self.rng.choice(choices) + text[match.end() :]
        return [(fresh, None)] + pieces[1:]

    def _open_politely(self, pieces):
        text, name = pieces[0]
        first_word = text.split(" ", 1)[0].lower()
        if name is not None or first_word not in IMPERATIVES:
            return pieces
        opener = self.rng.choice(OPENERS)
        if self.rng.random() < 0.5:
            opener = opener[0].upper() + opener[1:]
        return [(opener + text[0].lower() + text[1:], None)] + pieces[1:]

    def _change_closing(self, pieces):
        rng = self.rng
        text, name = pieces[-1]
        if name is None:
            bare = text.rstrip(" .?!")
            pieces = pieces[:-1] + ([(bare, None)] if bare else [])
        draw = rng.random()
        if draw < 0.15:
            pieces = pieces + [(rng.choice(CLOSERS), None)]
        elif draw < 0.40:
            pieces = pieces + [(rng.choice((".", "?", "!", "...")), None)]
        return _join_plain(pieces)

    def _change_case(self, pieces):
        draw = self.rng.random()
        if draw < 0.80:
            return [(text.lower(), name) for text, name in pieces]
        if draw < 0.90:
            text, name = pieces[0]
            flip = text[0].lower() if text[0].isupper() else text[0].upper()
            return [(flip + text[1:], name)] + pieces[1:]
        if draw < 0.97:
            return [(text.title() if name else text, name) for text, name in pieces]
        return [(text.upper(), name) for text, name in pieces]


def leading_word(value):
    """The small word a value opens with, which its surroundings must agree with."""
    word = value.split(" ", 1)[0].lower()
    return word if word in LEADING_WORDS else None


def _join_plain(pieces):
    merged = []
    for text, name in pieces:
        if name is None and merged and merged[-1][1] is None:
            merged[-1] = (merged[-1][0] + text, None)
        else:
            merged.append((text, name))
    return merged
