"""Greedy ids of a model folder by transformers in 32-bit floats: `reference_greedy.py FOLDER TEXT COUNT` prints JSON."""

import json
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def main() -> None:
    folder, text, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = tokenizer(text)["input_ids"]
    greedy, margins = [], []
    with torch.no_grad():
        past, step = None, torch.tensor([ids])
        for _ in range(count):
            out = model(step, past_key_values=past, use_cache=True)
            past, logits = out.past_key_values, out.logits[0, -1]
            best = torch.topk(logits, 2)
            greedy.append(int(best.indices[0]))
            margins.append(float(best.values[0] - best.values[1]))
            step = best.indices[:1].view(1, 1)
    print(json.dumps({"prompt": ids, "greedy": greedy, "margins": margins}))


main()
