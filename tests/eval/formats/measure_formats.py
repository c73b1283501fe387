"""Prints the table of docs/formats.md: what holding each stored format in memory adds to its error.

    pip install torch transformers safetensors gguf pywhispercpp
    python tests/eval/formats/measure_formats.py
"""

import gguf
import numpy as np

from held_weights import build, held, stored_blocks

COLS, ROWS = 1024, 1024
HOLD = {  # what Quantize::None holds, and how
    "F32": ("f32", "as it is"),
    "F16": ("f16", "as it is"),
    "BF16": ("bf16", "as it is"),
    "Q8_0": ("q8", "repacked"),
    "Q4_0": ("q4", "repacked"),
    "Q5_0": ("q8", "repacked"),
    "IQ4_NL": ("q8", "repacked"),
    "Q3_K": ("q8", "repacked"),
    "Q6_K": ("q8", "rounded again"),
    "Q5_K": ("q8", "rounded again"),
    "Q5_1": ("q8", "rounded again"),
    "Q4_K": ("q8", "rounded again"),
    "Q4_1": ("q8", "rounded again"),
    "Q2_K": ("q8", "rounded again"),
}


def relative(found, expected):
    return float(np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2)))


def percent(error):
    return "0" if error == 0 else f"{100 * error:.2f} %"


def main():
    build()
    weights = np.random.default_rng(7).normal(0, 0.02, (ROWS, COLS)).astype(np.float32)
    for name, (kind, how) in HOLD.items():
        blocks, stored = stored_blocks(weights, name)
        length, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
        in_memory, nanoseconds = held(blocks, name, kind, COLS)
        added = relative(in_memory, stored.ravel())
        in_four = relative(held(blocks, name, "q4", COLS)[0], weights.ravel())
        label = {"q8": "8 bits", "q4": "4 bits"}.get(kind, kind.upper())
        row = [name, f"{8 * size / length:g}", label, how, percent(added), percent(relative(stored, weights)), percent(in_four)]
        print("| " + " | ".join(row) + f" |   ({nanoseconds:.1f} ns a weight)", flush=True)


if __name__ == "__main__":
    main()
