"""Writes tests/goldens/llama-fp8-*: tiny random Llamas whose projections are 8-bit floats with scales.

    pip install torch transformers safetensors
    python tests/reference/make_fp8_goldens.py

`-block` declares one scale for 16 x 24 weights (quant_method "fp8", `weight_scale_inv`), `-row` one a row (compressed-tensors,
`weight_scale`), there a power of two, so that 16-bit brain floats hold the products exactly. Embedding and head stay bfloat16. The goldens
are what `transformers` computes in float64 from the products; golden.json and logits.f32 are as make_llama_goldens.py describes them.
"""

import json
import shutil

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

from make_llama_goldens import COMMON, GOLDENS, randomize, reference, tokenizer_json, write_json

LARGEST = 448.0  # of E4M3
BLOCK = (16, 24)
CONFIG = dict(
    COMMON,
    hidden_size=60,
    intermediate_size=91,
    num_hidden_layers=2,
    num_attention_heads=6,
    num_key_value_heads=2,
    head_dim=10,
    tie_word_embeddings=False,
    rope_parameters=dict(rope_type="default", rope_theta=10000.0),
)
GROUP = {"weights": {"type": "float", "num_bits": 8, "strategy": "channel", "symmetric": True}, "targets": ["Linear"]}
CASES = {
    "llama-fp8-block": (81, "_scale_inv", {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": BLOCK}),
    "llama-fp8-row": (91, "_scale", {"quant_method": "compressed-tensors", "format": "float-quantized", "config_groups": {"group_0": GROUP}}),
}


def spread(scales, shape, block):
    """A scale for every weight."""
    return scales.repeat_interleave(block[0], 0)[: shape[0]].repeat_interleave(block[1], 1)[:, : shape[1]]


def quantize(weights, by_block):
    """E4M3 numbers and their scales."""
    rows, cols = weights.shape
    block = BLOCK if by_block else (1, cols)
    grid = [-(-rows // block[0]), -(-cols // block[1])]
    scales = torch.zeros(grid)
    for row in range(grid[0]):
        for col in range(grid[1]):
            part = weights[row * block[0] : (row + 1) * block[0], col * block[1] : (col + 1) * block[1]]
            scales[row, col] = part.abs().max() / LARGEST
    if not by_block:
        scales = 2 ** scales.log2().ceil()
    numbers = (weights / spread(scales, weights.shape, block)).to(torch.float8_e4m3fn)
    return numbers, scales, numbers.float() * spread(scales, weights.shape, block)


@torch.no_grad()
def make(name, seed, ending, declaration):
    folder = GOLDENS / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model = LlamaForCausalLM(LlamaConfig(**CONFIG)).eval()
    randomize(model, seed)
    tensors = {}
    for key, parameter in model.named_parameters():
        if "_proj" in key:
            numbers, scales, weights = quantize(parameter, "block" in name)
            parameter.copy_(weights)
            tensors |= {key: numbers, key + ending: scales}
        else:
            tensors[key] = parameter.to(torch.bfloat16)
            parameter.copy_(tensors[key])
    ids, greedy, logits, margin = reference(model.to(torch.float64), seed)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    write_json(folder / "config.json", dict(CONFIG, model_type="llama", architectures=["LlamaForCausalLM"], quantization_config=declaration))
    write_json(folder / "tokenizer.json", tokenizer_json())
    (folder / "logits.f32").write_bytes(logits.to(torch.float32).numpy().astype("<f4").tobytes())
    golden = dict(ids=ids, greedy_ids=greedy, smallest_margin=margin, largest_logit=logits.abs().max().item(), seed=seed)
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")
    for file in folder.iterdir():
        file.chmod(0o644)
    print(f"{name}: margin {margin:.1e}, {sum(file.stat().st_size for file in folder.iterdir())} bytes")


if __name__ == "__main__":
    for name, (seed, ending, declaration) in CASES.items():
        make(name, seed, ending, declaration)
