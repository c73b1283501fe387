"""Turns utterances into padded token batches with their training labels."""

import numpy as np
import torch

from nano_tokenizer import AGAIN, ASSISTANT, BOS, EOS, PAD, USER

IGNORED = -100


class BatchMaker:
    def __init__(self, tokenizer, slot_names, max_length):
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.special = {s: tokenizer.token_to_id(s) for s in (PAD, BOS, EOS, USER, AGAIN, ASSISTANT)}
        self.first_tag = {name: 1 + 2 * i for i, name in enumerate(sorted(slot_names))}
        self.tag_count = 1 + 2 * len(self.first_tag)

    def prompt(self, encoded):
        sp = self.special
        return [sp[BOS], sp[USER], *encoded, sp[AGAIN], *encoded, sp[ASSISTANT]]

    def prompts(self, utterances):
        encoded = self.tokenizer.encode_batch([u.text for u in utterances])
        return [self.prompt(e.ids) for e in encoded]

    def examples(self, utterances):
        """(ids, tags, length of the utterance in tokens) for each that fits."""
        texts = self.tokenizer.encode_batch([u.text for u in utterances])
        targets = self.tokenizer.encode_batch([u.target() for u in utterances])
        made = []
        for utterance, text, target in zip(utterances, texts, targets):
            ids = self.prompt(text.ids) + target.ids + [self.special[EOS]]
            if len(ids) <= self.max_length:
                made.append((ids, self._tags(utterance, text.offsets), len(text.ids)))
        return made

    def _tags(self, utterance, offsets):
        """One label per token: 0 outside, odd where a slot begins, even inside it."""
        tags = [0] * len(offsets)
        for start, end, name in utterance.spans():
            label = self.first_tag[name]
            for index, (token_start, token_end) in enumerate(offsets):
                if token_start >= start and token_end <= end:
                    tags[index] = label
                    label = self.first_tag[name] + 1
        return tags

    def batches(self, examples, batch_size, rng):
        """Shuffled batches of similar lengths."""
        jitter = rng.random(len(examples)) * 12
        order = np.argsort([len(e[0]) for e in examples] + jitter)
        groups = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
        for group in rng.permutation(len(groups)):
            yield self.pad([examples[i] for i in groups[group]])

    def pad(self, rows):
        """ids, next-token labels, tag labels, and a mask of first-copy positions."""
        longest = max(len(ids) for ids, _, _ in rows)
        longest += -longest % 4
        shape = (len(rows), longest)
        ids = np.full(shape, self.special[PAD], dtype=np.int64)
        labels = np.full(shape, IGNORED, dtype=np.int64)
        tags = np.full(shape, IGNORED, dtype=np.int64)
        echo = np.zeros(shape, dtype=bool)
        for row, (tokens, row_tags, count) in enumerate(rows):
            prompt = 2 * count + 4
            ids[row, : len(tokens)] = tokens
            labels[row, prompt - 1 : len(tokens) - 1] = tokens[prompt:]
            labels[row, 1 : count + 2] = tokens[2 : count + 3]
            echo[row, 1 : count + 2] = True
            tags[row, count + 3 : 2 * count + 3] = row_tags
        return tuple(torch.from_numpy(a) for a in (ids, labels, tags, echo))
