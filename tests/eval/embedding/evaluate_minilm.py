"""Compares all-MiniLM-L6-v2 in Eyas with sentence-transformers on Banking77, for each way to hold its weights.

    pip install sentence-transformers
    cargo build --release -p eyas-cli
    python tests/eval/embedding/evaluate_minilm.py [--cli PATH] [--index 20] [--queries 10]

The training part of Banking77 is split by the seed in minilm_model.py: `index` examples of each of the 77 labels make the label's mean direction,
`queries` others are given the nearest label. Prints a table: the cosines to the reference's vectors, the share of right labels, and the share of labels
that are the reference's.
"""

import argparse
import json
import subprocess
import time

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from minilm_model import REPOSITORY, SEED, banking77, model_folder


def nearest(vectors: np.ndarray, labels: list[str], count: int) -> list[str]:
    """The label with the nearest mean direction for each vector behind the first `count`, which are the labels' examples."""
    names = sorted(set(labels[:count]))
    means = np.stack([vectors[:count][[label == name for label in labels[:count]]].sum(0) for name in names])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    return [names[best] for best in (vectors[count:] @ means.T).argmax(1)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cli", default=str(REPOSITORY / "target/release/eyas-cli"))
    parser.add_argument("--index", type=int, default=20)
    parser.add_argument("--queries", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    index, queries = banking77(arguments.index, arguments.queries)
    texts = [" ".join(text.split()) for _, text in index + queries]
    labels = [label for label, _ in index + queries]
    count, truth = len(index), labels[len(index) :]
    model = SentenceTransformer(str(model_folder()), device="cpu")
    reference = model.encode(texts, batch_size=1, normalize_embeddings=True, show_progress_bar=False)
    expected = nearest(reference, labels, count)
    share = lambda a, b: sum(x == y for x, y in zip(a, b)) / len(b)
    print(f"seed {SEED}, {count} examples, {len(truth)} queries")
    print("| weights | bytes | least cosine | mean cosine | right labels | labels as the reference | ms a text |\n|---|--:|--:|--:|--:|--:|--:|")
    print(f"| sentence-transformers | | | | {share(expected, truth):.2%} | | |")
    for quantize in ("none", "q8", "q4"):
        command = [arguments.cli, "embed", "--model", str(model_folder()), "--device", "cpu", "--quantize", quantize, "--json"]
        begin = time.monotonic()
        run = subprocess.run(command, input="\n".join(texts), capture_output=True, text=True, check=True)
        seconds = time.monotonic() - begin
        report = json.loads(run.stdout)
        vectors = np.array([embedding["vector"] for embedding in report["embeddings"]], dtype=np.float32)
        cosines = (vectors * reference).sum(1)
        found = nearest(vectors, labels, count)
        print(
            f"| {quantize} | {report['model']['memoryBytes']:,} | {cosines.min():.6f} | {cosines.mean():.6f} | {share(found, truth):.2%} | "
            f"{share(found, expected):.2%} | {1000 * seconds / len(texts):.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
