"""Writes tests/goldens/*/model.gguf: two of the checkpoints of make_llama_goldens.py in GGUF, for the same goldens.

    pip install torch transformers safetensors gguf
    python tests/reference/make_gguf_goldens.py

GGUF's llama architecture stores the rows of query and key so that the two elements that are rotated together lie side by side, and
"llama3" scaling as one divisor for each such pair (`rope_freqs.weight`). The tokenizer is there for completeness: its words are whole
tokens, which no SentencePiece vocabulary can spell, so tests prompt by ids.
"""

import json
from pathlib import Path

import gguf
import numpy as np
import torch
from safetensors.torch import load_file
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

GOLDENS = Path(__file__).resolve().parent.parent / "goldens"
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def gguf_name(name: str) -> str:
    top = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}
    if name in top:
        return top[name]
    layer, _, rest = name.removeprefix("model.layers.").partition(".")
    module, _, field = rest.rpartition(".")
    return f"blk.{layer}.{NAMES[module]}.{field}"


def side_by_side(rows: np.ndarray, heads: int) -> np.ndarray:
    """Element i of a head's first half moves to 2i, element i of its second half to 2i + 1."""
    half = rows.shape[0] // heads // 2
    order = np.arange(rows.shape[0]).reshape(heads, 2, half).transpose(0, 2, 1).ravel()
    return rows[order]


def rope_divisors(config: LlamaConfig) -> np.ndarray:
    scaled = LlamaRotaryEmbedding(config).inv_freq.double()
    dim = config.head_dim
    plain = config.rope_parameters["rope_theta"] ** -(torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    return (plain / scaled).float().numpy()


def convert(folder: Path) -> None:
    config = LlamaConfig.from_pretrained(folder)
    vocab = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    writer = gguf.GGUFWriter(folder / "model.gguf", "llama")
    writer.add_name(folder.name)
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_tokenizer_model("llama")
    writer.add_token_list(list(vocab))
    writer.add_token_scores([0.0] * len(vocab))
    writer.add_token_types([gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL] + [gguf.TokenType.NORMAL] * (len(vocab) - 3))
    writer.add_bos_token_id(config.bos_token_id)
    writer.add_eos_token_id(config.eos_token_id)
    if config.rope_parameters["rope_type"] == "llama3":
        writer.add_tensor("rope_freqs.weight", rope_divisors(config))
    for name, tensor in load_file(folder / "model.safetensors").items():
        values = tensor.numpy()
        if "q_proj" in name:
            values = side_by_side(values, config.num_attention_heads)
        elif "k_proj" in name:
            values = side_by_side(values, config.num_key_value_heads)
        # Vectors are always float32 in such files.
        writer.add_tensor(gguf_name(name), values.astype(np.float32) if values.ndim == 1 else values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"{folder.name}: {(folder / 'model.gguf').stat().st_size} bytes")


if __name__ == "__main__":
    for name in ["llama-gqa-llama3", "llama-mqa-f16"]:
        convert(GOLDENS / name)
