"""Measures what holding all-MiniLM-L6-v2's matrices in fewer bits costs: a table of docs/models.md.

    pip install torch sentence-transformers gguf pywhispercpp
    python tests/eval/quantization/measure_minilm.py [--index 10] [--queries 10] [ROW …]

Weights are what Eyas holds (the example `hold` of crates/eyas-weights), put into sentence-transformers, which embeds the texts; positions,
normalisations and biases stay as they are stored. The task is that of tests/eval/embedding/evaluate_minilm.py: the nearest of Banking77's 77 labels.
"Bytes" are those of all weights: stored in the file, and held on the device. Most of MiniLM's rows have 384 values, no multiple of 256: superblocks run
on over the end of a row here, where a file would hold such matrices in a simpler format.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / name) for name in ("embedding", "formats", "nano")]

from evaluate_minilm import nearest  # noqa: E402
from held_weights import build, held, stored_blocks  # noqa: E402
from measure_nano import BITS, ROWS, plain_q4  # noqa: E402
from minilm_model import SEED, banking77, model_folder  # noqa: E402

MATRICES = ("word_embeddings", "query", "key", "value", "dense")
# What stays at 8 bits: query, key and value are one matrix.
SENSITIVE = ("query", "key", "value", "attention.output.dense", "intermediate.dense")


def hold(row: str, name: str, weights: np.ndarray) -> tuple[np.ndarray, float, float]:
    """What is held of a matrix, the bits a weight that this takes, and those that it takes in the file."""
    import gguf

    cols = weights.shape[1]
    if row == "none":
        return weights, 32, 32
    if row == "q4 plain":
        return plain_q4(weights), 5, 32
    if row.startswith("GGUF "):
        kind = row.split()[1]
        length, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
        flat = weights.reshape(-1, 256 if length == 256 else cols)
        blocks, _ = stored_blocks(flat, kind)
        target = "q4" if kind == "Q4_0" else "q8"
        return held(blocks, kind, target, flat.shape[1])[0].reshape(weights.shape), BITS[target], 8 * size / length
    kind = "q8" if row == "q8" or (row == "q4" and any(part in name for part in SENSITIVE)) else "q4"
    return held(weights.astype("<f4").tobytes(), "F32", kind, cols)[0].reshape(weights.shape), BITS[kind], 32


@torch.no_grad()
def load(row: str) -> tuple[SentenceTransformer, int, int]:
    model = SentenceTransformer(str(model_folder()), device="cpu")
    held_bytes = stored_bytes = 0.0
    for name, parameter in model.named_parameters():
        bits = stored_bits = 32.0
        if "pooler" in name:
            continue
        if parameter.ndim == 2 and any(name.endswith(f"{matrix}.weight") for matrix in MATRICES):
            weights, bits, stored_bits = hold(row, name, parameter.numpy())
            parameter.copy_(torch.from_numpy(weights.copy()))
        held_bytes += parameter.numel() * bits / 8
        stored_bytes += parameter.numel() * stored_bits / 8
    return model, round(held_bytes), round(stored_bytes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--index", type=int, default=10)
    parser.add_argument("--queries", type=int, default=10)
    parser.add_argument("rows", nargs="*", default=ROWS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    build()
    index, queries = banking77(arguments.index, arguments.queries)
    texts = [" ".join(text.split()) for _, text in index + queries]
    labels = [label for label, _ in index + queries]
    count, truth = len(index), labels[len(index) :]
    share = lambda a, b: sum(x == y for x, y in zip(a, b)) / len(b)
    reference = expected = None
    print(f"seed {SEED}, {count} examples, {len(truth)} queries")
    print("| weights | bytes stored | bytes held | least cosine | mean cosine | right labels | labels as unquantised |\n|---|--:|--:|--:|--:|--:|--:|")
    for row in ["none", *(row for row in arguments.rows or ROWS if row != "none")]:
        model, held_bytes, stored_bytes = load(row)
        vectors = model.encode(texts, batch_size=64, normalize_embeddings=True, show_progress_bar=False)
        found = nearest(vectors, labels, count)
        if reference is None:
            reference, expected = vectors, found
        cosines = (vectors * reference).sum(1)
        cells = [row, f"{stored_bytes:,}", f"{held_bytes:,}", f"{cosines.min():.5f}", f"{cosines.mean():.5f}", f"{share(found, truth):.2%}", f"{share(found, expected):.2%}"]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
