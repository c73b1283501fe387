"""Writes the log of a nearest-neighbour classifier with all-MiniLM-L6-v2 in Eyas, as `eyas-cli eval` writes it for a model that generates.

    cargo build --release -p eyas-cli
    python tests/eval/routing/nearest_neighbour.py --cli target/release/eyas-cli --out log.jsonl [--quantize q8]
    eyas-cli calibrate --log log.jsonl --task clinc150 --foreign clinc150-oos --alpha 0.05 --out calibration.json --report clinc150.md
    eyas-cli calibrate --log log.jsonl --task banking77 --alpha 0.05 --out calibration.json --report banking77.md

Tasks, from ../shared/data: `clinc150`, its validation part against all of its training part; `clinc150-oos`, its out-of-scope requests (training and
validation part: none is in the index), which no label is right for; `banking77`, three tenths of each label of its training part (SEED) against the rest.

A text's label is that of the most similar example. A label's similarity is that of its most similar example; a softmax over the labels' similarities at
TEMPERATURE gives the signals: `meanLogprob` is the log-probability of the label chosen, `firstMargin` its probability less the next one's, `meanEntropy`
the entropy.
"""

import argparse
import csv
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "embedding"))
from minilm_model import DATA, REPOSITORY, model_folder  # noqa: E402

SEED = 77
TEMPERATURE = 0.05
Texts = list[tuple[str, str | None]]


def clinc150() -> tuple[Texts, Texts, Texts]:
    data = json.loads((DATA / "clinc150/data.json").read_text())
    pairs = lambda *parts: [(text, label) for part in parts for text, label in data[part]]
    return pairs("train"), pairs("val"), [(text, None) for text, _ in pairs("oos_train", "oos_val")]


def banking77() -> tuple[Texts, Texts]:
    by_label: dict[str, list[str]] = {}
    with open(DATA / "banking77/train.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            by_label.setdefault(row["category"], []).append(" ".join(row["text"].split()))
    rng = random.Random(SEED)
    index: Texts = []
    queries: Texts = []
    for label, texts in sorted(by_label.items()):
        texts = sorted(set(texts))
        rng.shuffle(texts)
        cut = len(texts) * 3 // 10
        queries += [(text, label) for text in texts[:cut]]
        index += [(text, label) for text in texts[cut:]]
    return index, queries


class Embedder:
    """`eyas-cli embed`, in parts that fit into a process's output."""

    def __init__(self, cli: str, quantize: str) -> None:
        self.command = [cli, "embed", "--model", str(model_folder()), "--device", "cpu", "--quantize", quantize, "--json"]
        self.model = ""
        self.tokens: list[int] = []

    def __call__(self, texts: Texts) -> tuple[np.ndarray, list[int], float]:
        """Unit vectors, tokens of each text, and milliseconds a text."""
        vectors, tokens, begin = [], [], time.monotonic()
        for start in range(0, len(texts), 2000):
            lines = "\n".join(" ".join(text.split()) for text, _ in texts[start : start + 2000])
            report = json.loads(subprocess.run(self.command, input=lines, capture_output=True, text=True, check=True).stdout)
            self.model = report["model"]["fingerprint"]
            vectors += [embedding["vector"] for embedding in report["embeddings"]]
            tokens += [embedding["tokens"] for embedding in report["embeddings"]]
            print(f"{start + len(report['embeddings'])} of {len(texts)}", file=sys.stderr, flush=True)
        return np.array(vectors, dtype=np.float32), tokens, 1000 * (time.monotonic() - begin) / len(texts)


def label_similarities(index: np.ndarray, labels: np.ndarray, count: int, queries: np.ndarray) -> np.ndarray:
    """The similarity of each query to each label's most similar example, `[queries, count]`."""
    out = np.full((len(queries), count), -1.0, dtype=np.float32)
    for start in range(0, len(queries), 256):
        similarities = queries[start : start + 256] @ index.T
        for label in range(count):
            out[start : start + 256, label] = similarities[:, labels == label].max(1)
    return out


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cli", default=str(REPOSITORY / "target/release/eyas-cli"))
    parser.add_argument("--quantize", default="q8")
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    embed = Embedder(arguments.cli, arguments.quantize)
    clinc_index, clinc_queries, clinc_oos = clinc150()
    banking_index, banking_queries = banking77()
    with open(arguments.out, "w", encoding="utf-8") as log:
        for index, tasks in (
            (clinc_index, {"clinc150": clinc_queries, "clinc150-oos": clinc_oos}),
            (banking_index, {"banking77": banking_queries}),
        ):
            names = sorted({label for _, label in index if label})
            labels = np.array([names.index(label) for _, label in index])
            vectors, _, _ = embed(index)
            for task, queries in tasks.items():
                found, tokens, ms = embed(queries)
                similarities = label_similarities(vectors, labels, len(names), found)
                scaled = similarities / TEMPERATURE
                log_p = scaled - scaled.max(1, keepdims=True)
                log_p -= np.log(np.exp(log_p).sum(1, keepdims=True))
                right = 0
                for (text, label), count, row in zip(queries, tokens, log_p):
                    best, second = np.sort(row)[::-1][:2]
                    quality = float(names[int(row.argmax())] == label)
                    right += quality
                    signals = {"meanLogprob": float(best), "firstMargin": float(np.exp(best) - np.exp(second)), "meanEntropy": float(-(np.exp(row) * row).sum())}
                    line = {"task": task, "model": embed.model, "quantize": arguments.quantize, "localQuality": quality, "cloudQuality": 1.0, "cloudIsGold": True, "signals": signals, "inputChars": len(text), "tokens": count, "bytes": 0, "ms": ms, "cloudMs": None}
                    log.write(json.dumps(line) + "\n")
                print(f"{task}: {len(queries)} queries, {len(index)} examples of {len(names)} labels, {right / len(queries):.2%} right, {ms:.1f} ms a text")


if __name__ == "__main__":
    main()
