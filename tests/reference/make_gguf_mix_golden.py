"""Writes tests/goldens/llama-gguf-mix: a tiny random Llama in two GGUF parts, in which every tensor has another format.

    pip install torch transformers safetensors gguf pywhispercpp
    python tests/reference/make_gguf_mix_golden.py

ggml itself quantises (the library inside of pywhispercpp's wheel); the golden is what `transformers` computes in float64 from the weights
that the `gguf` package reads from the blocks. golden.json and logits.f32 are as make_llama_goldens.py describes them.
"""

import ctypes
import importlib.util
import json
import shutil
from pathlib import Path

import gguf
import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from make_gguf_goldens import gguf_name, side_by_side
from make_llama_goldens import GOLDENS, VOCAB, randomize, reference

FOLDER = GOLDENS / "llama-gguf-mix"
SEED = 71
CONFIG = dict(
    vocab_size=VOCAB,
    max_position_embeddings=128,
    bos_token_id=1,
    eos_token_id=2,
    rms_norm_eps=1e-5,
    hidden_size=256,
    intermediate_size=256,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=32,
    tie_word_embeddings=True,
    rope_parameters=dict(rope_type="default", rope_theta=10000.0),
)
KINDS = {
    "token_embd": "Q6_K",
    "blk.0.attn_q": "Q4_0",
    "blk.0.attn_k": "Q5_0",
    "blk.0.attn_v": "Q8_0",
    "blk.0.attn_output": "IQ4_NL",
    "blk.0.ffn_gate": "Q3_K",
    "blk.0.ffn_up": "Q4_1",
    "blk.0.ffn_down": "Q4_K",
    "blk.1.attn_q": "Q5_K",
    "blk.1.attn_k": "Q2_K",
    "blk.1.attn_v": "Q6_K",
    "blk.1.attn_output": "Q5_1",
    "blk.1.ffn_gate": "F16",
    "blk.1.ffn_up": "BF16",
    "blk.1.ffn_down": "Q3_K",
}


def ggml() -> ctypes.CDLL:
    """The ggml library that PyPI's pywhispercpp carries."""
    site = Path(importlib.util.find_spec("_pywhispercpp").origin).parent
    library = ctypes.CDLL(next(site.glob("libggml-base.so.*.*")))
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    library.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [ctypes.c_void_p]
    return library


def quantize(weights: np.ndarray, kind: gguf.GGMLQuantizationType) -> np.ndarray:
    """Rows of weights to blocks, as llama.cpp's quantiser makes them without an importance matrix."""
    weights = np.ascontiguousarray(weights, dtype=np.float32)
    rows, cols = weights.shape
    length, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = np.zeros((rows, cols // length * size), dtype=np.uint8)
    written = ggml().ggml_quantize_chunk(kind, weights.ctypes.data, blocks.ctypes.data, 0, rows, cols, None)
    assert written == blocks.nbytes, (kind, written, blocks.nbytes)
    return blocks


def blocks_of(name: str, values: np.ndarray) -> tuple[np.ndarray, gguf.GGMLQuantizationType, np.ndarray]:
    """Stored bytes, their format, and the weights that they stand for."""
    kind = gguf.GGMLQuantizationType[KINDS.get(name.removesuffix(".weight"), "F32")]
    if kind == gguf.GGMLQuantizationType.F32:
        return values.astype(np.float32), kind, values.astype(np.float32)
    if kind in (gguf.GGMLQuantizationType.F16, gguf.GGMLQuantizationType.BF16):
        blocks = gguf.quants.quantize(values, kind)
    else:
        blocks = quantize(values, kind)
    return blocks, kind, gguf.quants.dequantize(blocks, kind).reshape(values.shape)


def attempt(seed: int):
    model = LlamaForCausalLM(LlamaConfig(**CONFIG)).eval()
    randomize(model, seed)
    stored = {}
    for name, parameter in model.named_parameters():
        values = parameter.detach().numpy()
        heads = 2 if "q_proj" in name else 1 if "k_proj" in name else 0
        if heads:
            values = side_by_side(values, heads)
        blocks, kind, weights = blocks_of(gguf_name(name), values)
        stored[gguf_name(name)] = (blocks, kind)
        if heads:
            half = weights.shape[0] // heads // 2
            weights = weights.reshape(heads, half, 2, -1).transpose(0, 2, 1, 3).reshape(weights.shape)
        parameter.data = torch.from_numpy(weights.copy())
    return stored, reference(model.to(torch.float64), seed)


def write_part(path: Path, tensors: dict, number: int, total: int) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    if number == 0:
        writer.add_name("llama-gguf-mix")
        writer.add_vocab_size(VOCAB)
        writer.add_context_length(CONFIG["max_position_embeddings"])
        writer.add_embedding_length(CONFIG["hidden_size"])
        writer.add_feed_forward_length(CONFIG["intermediate_size"])
        writer.add_block_count(CONFIG["num_hidden_layers"])
        writer.add_head_count(CONFIG["num_attention_heads"])
        writer.add_head_count_kv(CONFIG["num_key_value_heads"])
        writer.add_key_length(CONFIG["head_dim"])
        writer.add_value_length(CONFIG["head_dim"])
        writer.add_rope_dimension_count(CONFIG["head_dim"])
        writer.add_layer_norm_rms_eps(CONFIG["rms_norm_eps"])
        writer.add_rope_freq_base(10000.0)
        writer.add_tokenizer_model("llama")
        writer.add_token_list(["<unk>", "<s>", "</s>"] + [f"w{i}" for i in range(3, VOCAB)])
        writer.add_token_scores([0.0] * VOCAB)
        writer.add_token_types([gguf.TokenType.UNKNOWN] + [gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL] * (VOCAB - 3))
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
    writer.add_uint16("split.no", number)
    writer.add_uint16("split.count", 2)
    writer.add_int32("split.tensors.count", total)
    for name, (blocks, kind) in tensors.items():
        writer.add_tensor(name, blocks, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    stored, (ids, greedy, logits, margin) = attempt(SEED)
    names = list(stored)
    for number, part in enumerate([names[: len(names) // 2], names[len(names) // 2 :]]):
        path = FOLDER / f"model-{number + 1:05}-of-00002.gguf"
        write_part(path, {name: stored[name] for name in part}, number, len(names))
        path.chmod(0o644)
    (FOLDER / "logits.f32").write_bytes(logits.to(torch.float32).numpy().astype("<f4").tobytes())
    golden = dict(ids=ids, greedy_ids=greedy, smallest_margin=margin, largest_logit=logits.abs().max().item(), seed=SEED)
    (FOLDER / "golden.json").write_text(json.dumps(golden) + "\n")
    print(f"margin {margin:.3f}, {sum(file.stat().st_size for file in FOLDER.iterdir())} bytes")


if __name__ == "__main__":
    main()
