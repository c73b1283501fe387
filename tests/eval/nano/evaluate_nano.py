"""Measures an exported model folder on the held-out dev split by greedy decoding.

    python evaluate_nano.py --data DIR --model DIR --metrics FILE [--errors FILE]
"""

import argparse
import json
from collections import Counter, defaultdict
from pathlib import Path

import torch
from tokenizers import Tokenizer

from export_nano import load_exported
from nano_batches import BatchMaker
from nano_tokenizer import EOS
from snips_data import DEV_SHARE, SPLIT_SEED, load_split

BATCH = 64


def parse_answer(text):
    """(intent, slots) of an answer, or (None, []) if it is not of the right form."""
    try:
        answer = json.loads(text)
        slots = [(name, value) for name, value in answer["slots"]]
        return answer["intent"], slots
    except (ValueError, KeyError, TypeError):
        return None, []


def f1(tally):
    hits, expected, given = tally
    precision = hits / given if given else 0.0
    recall = hits / expected if expected else 0.0
    both = precision + recall
    score = 2 * precision * recall / both if both else 0.0
    rounded = {"precision": precision, "recall": recall, "f1": score}
    return {name: round(value, 4) for name, value in rounded.items()} | {"expected": expected}


def answer_all(model, tokenizer, utterances):
    maker = BatchMaker(tokenizer, (), model.shape.max_positions)
    prompts = maker.prompts(utterances)
    fitting = [i for i, p in enumerate(prompts) if len(p) < model.shape.max_positions]
    fitting.sort(key=lambda i: len(prompts[i]))
    answers = [""] * len(utterances)
    for start in range(0, len(fitting), BATCH):
        rows = fitting[start : start + BATCH]
        outputs = model.greedy([prompts[i] for i in rows], tokenizer.token_to_id(EOS))
        for row, ids in zip(rows, outputs):
            answers[row] = tokenizer.decode(ids, skip_special_tokens=False)
    return answers


def score(utterances, answers):
    right_intents, exact, malformed, copied_wrong = 0, 0, 0, 0
    overall = [0, 0, 0]
    by_slot, by_intent = defaultdict(lambda: [0, 0, 0]), defaultdict(lambda: [0, 0, 0])
    intents, errors = defaultdict(lambda: [0, 0, 0]), []
    for utterance, text in zip(utterances, answers):
        intent, slots = parse_answer(text)
        malformed += intent is None
        right_intents += intent == utterance.intent
        same = text == utterance.target()
        exact += same
        intents[utterance.intent][0] += intent == utterance.intent
        intents[utterance.intent][1] += same
        intents[utterance.intent][2] += 1
        copied_wrong += sum(value not in utterance.text for _, value in slots)
        given = Counter(slots)
        expected = Counter((name, value) for name, value in utterance.slots)
        for counts, column in ((given & expected, 0), (expected, 1), (given, 2)):
            for (name, _), times in counts.items():
                overall[column] += times
                by_slot[name][column] += times
                by_intent[utterance.intent][column] += times
        if not same:
            errors.append({"utterance": utterance.text, "expected": utterance.target(), "given": text})
    total = len(utterances)
    return {
        "utterances": total,
        "intent_accuracy": round(right_intents / total, 4),
        "slot": f1(overall),
        "exact_match": round(exact / total, 4),
        "malformed_answers": malformed,
        "slot_values_not_in_the_utterance": copied_wrong,
        "by_intent": {
            name: {
                "utterances": count,
                "intent_accuracy": round(right / count, 4),
                "exact_match": round(same / count, 4),
                "slot_f1": f1(by_intent[name])["f1"],
            }
            for name, (right, same, count) in sorted(intents.items())
        },
        "by_slot": {name: f1(tally) for name, tally in sorted(by_slot.items())},
    }, errors


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--metrics", required=True, help="JSON file to write")
    parser.add_argument("--errors", help="JSON file for the wrong answers")
    args = parser.parse_args()
    torch.set_num_threads(2)
    model = load_exported(args.model)
    tokenizer = Tokenizer.from_file(str(Path(args.model) / "tokenizer.json"))
    train, dev = load_split(args.data)
    metrics, errors = score(dev, answer_all(model, tokenizer, dev))
    split = {"seed": SPLIT_SEED, "share": DEV_SHARE, "training_utterances": len(train)}
    parameters = sum(p.numel() for p in model.parameters())
    report = {"decoding": "greedy, from the exported float16 weights", "parameters": parameters}
    report |= {"dev_split": split} | metrics
    Path(args.metrics).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if args.errors:
        listing = json.dumps(errors, ensure_ascii=False, indent=1)
        Path(args.errors).write_text(listing, encoding="utf-8")
    print(json.dumps({k: v for k, v in metrics.items() if not k.startswith("by_")}))


if __name__ == "__main__":
    main()
