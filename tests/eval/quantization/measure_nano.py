"""Measures what holding eyas-nano's weights in fewer bits costs: the table of docs/formats.md.

    pip install torch tokenizers safetensors gguf pywhispercpp
    python tests/eval/quantization/measure_nano.py --data DIR [--share 4] [ROW …]

DIR is the folder with the SNIPS training files. Divergence and perplexity are over the whole dev split, answers of every fourth utterance with `--share 4`. Weights are what Eyas holds (the example
`hold` of crates/eyas-weights); the model is computed by tests/eval/nano. "Divergence" is the mean Kullback-Leibler divergence from the model
as stored, in thousandths of a nat a token of the answers; perplexity is that of the right answers.
"""

import argparse
import math
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
import torch.nn.functional as F

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "nano"), str(HERE.parent / "formats")]

from tokenizers import Tokenizer  # noqa: E402

from evaluate_nano import answer_all, score  # noqa: E402
from export_nano import load_exported  # noqa: E402
from held_weights import ROOT, build, held, stored_blocks  # noqa: E402
from nano_batches import BatchMaker  # noqa: E402
from nano_tokenizer import EOS  # noqa: E402
from snips_data import load_split  # noqa: E402

MODEL = ROOT / "www" / "eyas" / "models" / "eyas-nano"
BATCH = 64
SENSITIVE = ("embed_tokens", "o_proj")
BITS = {"f16": 16, "q8": 9, "q4": 5}
GGUF_KINDS = ["Q8_0", "Q6_K", "Q5_K", "Q5_1", "Q5_0", "Q4_K", "Q4_1", "IQ4_NL", "Q4_0", "Q3_K", "Q2_K"]
ROWS = ["none", "q8", "q4 plain", "q4 search only", "q4"] + [f"GGUF {kind}" for kind in GGUF_KINDS]


def plain_q4(weights):
    """Rounding by ggml's rule for Q4_0, the scale in 32 bits: the weight of largest magnitude becomes -8."""
    blocks = weights.reshape(-1, 32)
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(1)[:, None], 1)
    scale = np.where(largest == 0, 1, largest) / np.float32(-8)
    return (scale * np.clip(np.rint(blocks / scale), -8, 7)).reshape(weights.shape)


def hold(row, name, weights):
    """What is held of a matrix, the bits a weight that this takes, and those that it takes in the file."""
    cols = weights.shape[1]
    if row == "none":
        return weights, 16, 16
    if row == "q4 plain":
        return plain_q4(weights), 5, 16
    if row.startswith("GGUF "):
        kind = row.split()[1]
        length, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
        # eyas-nano's rows are no multiples of 256: superblocks run on over the end of a row here.
        flat = weights.reshape(-1, max(length, 256) if length == 256 else cols)
        blocks, _ = stored_blocks(flat, kind)
        target = "q4" if kind == "Q4_0" else "q8"
        return held(blocks, kind, target, flat.shape[1])[0].reshape(weights.shape), BITS[target], 8 * size / length
    kind = "q8" if row == "q8" or (row == "q4" and any(part in name for part in SENSITIVE)) else "q4"
    blocks = weights.astype("<f2").tobytes()
    return held(blocks, "F16", kind, cols)[0].reshape(weights.shape), BITS[kind], 16


@torch.no_grad()
def load(row):
    model = load_exported(MODEL)
    held_bytes, stored_bytes = 0.0, 0.0
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            weights, bits, stored_bits = hold(row, name, parameter.numpy())
            held_bytes += parameter.numel() * bits / 8
            stored_bytes += parameter.numel() * stored_bits / 8
            parameter.copy_(torch.from_numpy(weights.copy()))
    return model, round(held_bytes), round(stored_bytes)


def batches(tokenizer, utterances):
    """Padded ids, which positions predict the answer, and the answer's tokens."""
    maker = BatchMaker(tokenizer, (), 256)
    rows = []
    for utterance, prompt in zip(utterances, maker.prompts(utterances)):
        ids = prompt + tokenizer.encode(utterance.target()).ids + [tokenizer.token_to_id(EOS)]
        if len(ids) <= 256:
            rows.append((len(prompt), ids))
    rows.sort(key=lambda row: len(row[1]))
    for start in range(0, len(rows), BATCH):
        group = rows[start : start + BATCH]
        ids = torch.zeros((len(group), max(len(row) for _, row in group)), dtype=torch.long)
        wanted = torch.zeros(ids.shape, dtype=torch.bool)
        labels = []
        for index, (prompt, row) in enumerate(group):
            ids[index, : len(row)] = torch.tensor(row)
            wanted[index, prompt - 1 : len(row) - 1] = True
            labels += row[prompt:]
        yield ids, wanted, torch.tensor(labels)


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--share", type=int, default=1, help="let it answer every so-manieth dev utterance")
    parser.add_argument("rows", nargs="*", default=ROWS)
    args = parser.parse_args()
    build()
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    torch.set_num_threads(1)
    whole = load_split(args.data)[1]
    dev = whole[:: args.share]
    data = list(batches(tokenizer, whole))
    print(f"{len(whole)} utterances, {len(dev)} of them answered", flush=True)
    stored = load_exported(MODEL)
    expected = [F.log_softmax(stored(ids, wanted)[0], -1) for ids, wanted, _ in data]
    for row in args.rows or ROWS:
        model, held_bytes, stored_bytes = load(row)
        loss, divergence, tokens = 0.0, 0.0, 0
        for (ids, wanted, labels), reference in zip(data, expected):
            found = F.log_softmax(model(ids, wanted)[0], -1)
            loss += F.nll_loss(found, labels, reduction="sum").item()
            divergence += (reference.exp() * (reference - found)).sum().item()
            tokens += len(labels)
        metrics, _ = score(dev, answer_all(model, tokenizer, dev))
        cells = [row, f"{stored_bytes:,}", f"{held_bytes:,}", f"{1000 * divergence / tokens:.3f}", f"{math.exp(loss / tokens):.5f}"]
        cells += [f"{100 * metrics['intent_accuracy']:.2f} %", f"{100 * metrics['slot']['f1']:.2f} %", f"{100 * metrics['exact_match']:.2f} %"]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
