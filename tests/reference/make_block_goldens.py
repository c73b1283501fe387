"""Writes tests/goldens/blocks: stored blocks of every format that is read, and the weights that the reference makes of them.

    pip install numpy gguf torch
    python tests/reference/make_block_goldens.py

`KIND.blocks` holds 512 weights of random bytes, except that half-precision scales are finite and of a usual size; `KIND.f32` holds what
the dequantiser of PyPI's `gguf` (the ggml project's own) makes of them. Where `gguf` also quantises, `KIND.rounded.blocks` and
`KIND.rounded.f32` are the same for weights that are normally distributed. `F8_E4M3` is every byte, by torch's `float8_e4m3fn`.
"""

from pathlib import Path

import gguf
import numpy as np
import torch

OUT = Path(__file__).resolve().parent.parent / "goldens" / "blocks"
WEIGHTS = 512
# Where a block has its half-precision floats.
HALVES = {
    "Q4_0": [0],
    "Q4_1": [0, 2],
    "Q5_0": [0],
    "Q5_1": [0, 2],
    "Q8_0": [0],
    "IQ4_NL": [0],
    "Q2_K": [80, 82],
    "Q3_K": [108],
    "Q4_K": [0, 2],
    "Q5_K": [0, 2],
    "Q6_K": [208],
}
QUANTISED = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"]


def write(name, blocks, kind):
    weights = gguf.quants.dequantize(blocks, kind)
    blocks.tofile(OUT / f"{name}.blocks")
    weights.astype("<f4").tofile(OUT / f"{name}.f32")


def main():
    OUT.mkdir(exist_ok=True)
    random = np.random.default_rng(20260101)
    for name, places in HALVES.items():
        kind = gguf.GGMLQuantizationType[name]
        length, size = gguf.GGML_QUANT_SIZES[kind]
        blocks = random.integers(0, 256, (WEIGHTS // length, size), dtype=np.uint8)
        for place in places:
            halves = random.normal(0, 0.05, len(blocks)).astype("<f2")
            blocks[:, place : place + 2] = halves.view(np.uint8).reshape(-1, 2)
        write(name, blocks, kind)
    for name in QUANTISED:
        kind = gguf.GGMLQuantizationType[name]
        weights = random.normal(0, 0.3, (1, WEIGHTS)).astype(np.float32)
        write(f"{name}.rounded", gguf.quants.quantize(weights, kind), kind)
    every = torch.arange(256, dtype=torch.uint8)
    every.numpy().tofile(OUT / "F8_E4M3.blocks")
    every.view(torch.float8_e4m3fn).float().numpy().astype("<f4").tofile(OUT / "F8_E4M3.f32")


if __name__ == "__main__":
    main()
