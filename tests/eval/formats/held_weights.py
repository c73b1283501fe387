"""What Eyas holds in memory of stored weights, by the example `hold` of crates/eyas-weights; and ggml's quantisers."""

import os
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "reference"))
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


def build() -> None:
    subprocess.run(["cargo", "build", "--quiet", "--release", "-p", "eyas-weights", "--example", "hold"], cwd=ROOT, check=True)


def held(blocks: bytes, stored: str, kind: str, cols: int) -> tuple[np.ndarray, float]:
    """The weights that are held, flat, and the nanoseconds that packing one of them took."""
    program = TARGET / "release" / "examples" / "hold"
    done = subprocess.run([program, stored, kind, str(cols)], input=blocks, capture_output=True, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr.decode())
    return np.frombuffer(done.stdout, dtype="<f4"), float(done.stderr.split(b":")[1].split()[0])


def stored_blocks(weights: np.ndarray, name: str) -> tuple[bytes, np.ndarray]:
    """Rows of floats as ggml stores them in the format `name`, and the weights that the blocks stand for."""
    from make_gguf_mix_golden import quantize

    kind = gguf.GGMLQuantizationType[name]
    if name in ("F32", "F16", "BF16"):
        blocks = gguf.quants.quantize(weights.astype(np.float32), kind)
    else:
        blocks = quantize(weights, kind)
    return blocks.tobytes(), gguf.quants.dequantize(blocks, kind).reshape(weights.shape)
