"""Writes tests/goldens/family-*: tiny random checkpoints of every decoder family with what `transformers` computes from them.

    pip install torch transformers safetensors
    python tests/reference/make_family_goldens.py [NAME…]

The files are those of make_llama_goldens.py. Two configurations for each family differ in what the family itself has; sizes lie off every
block and workgroup. Where `known` is smaller than the vocabulary, the tokenizer does not know the last ids, as in models with padded
vocabularies, and greedy decoding passes them over.
"""

import copy
import json
import shutil
import sys
from pathlib import Path

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

from make_llama_goldens import GOLDENS, tokenizer_json, write_json

PROMPT_TOKENS = 20
GREEDY_TOKENS = 32
VOCAB = 97

SIZES = dict(
    vocab_size=VOCAB,
    hidden_size=36,
    intermediate_size=45,
    num_hidden_layers=2,
    num_attention_heads=6,
    num_key_value_heads=2,
    max_position_embeddings=96,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
    rms_norm_eps=1e-5,
    tie_word_embeddings=False,
)
PLAIN_ROPE = dict(rope_type="default", rope_theta=10000.0)
LONG_ROPE = dict(
    rope_type="longrope",
    rope_theta=10000.0,
    short_factor=[1.0, 1.25, 1.5],
    long_factor=[1.5, 4.0, 9.0],
)

CASES = {
    "llama-dynamic": dict(model="llama", rope_parameters=dict(rope_type="dynamic", rope_theta=10000.0, factor=4.0)),
    # Window in every layer; heads wider than hidden / heads.
    "mistral-window": dict(model="mistral", sliding_window=7, head_dim=10),
    "mistral-full": dict(model="mistral", sliding_window=None, tie_word_embeddings=True, num_key_value_heads=3),
    # Biases at query, key and value only; a vocabulary padded beyond the tokenizer.
    "qwen2-padded": dict(model="qwen2", tie_word_embeddings=True, known=89),
    "qwen2-window": dict(model="qwen2", num_hidden_layers=3, use_sliding_window=True, sliding_window=9, max_window_layers=1),
    # Queries and keys normalised by head.
    "qwen3-tied": dict(model="qwen3", head_dim=14, tie_word_embeddings=True, known=90),
    "qwen3-bias": dict(
        model="qwen3",
        head_dim=6,
        attention_bias=True,
        use_sliding_window=True,
        sliding_window=6,
        layer_types=["full_attention", "sliding_attention"],
        rope_parameters=dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=24),
    ),
    # Every fourth layer without positions, then a list of its own.
    "smollm3-fourth": dict(model="smollm3", num_hidden_layers=5, hidden_size=24, intermediate_size=30, num_attention_heads=4, tie_word_embeddings=True),
    "smollm3-listed": dict(model="smollm3", num_hidden_layers=3, no_rope_layers=[0, 1, 0], attention_bias=True, mlp_bias=True),
    # Soft caps, alternating windows, norms before and behind.
    "gemma2-capped": dict(
        model="gemma2",
        head_dim=8,
        query_pre_attn_scalar=8,
        num_hidden_layers=3,
        sliding_window=8,
        attn_logit_softcapping=2.0,
        final_logit_softcapping=30.0,
        tie_word_embeddings=True,
    ),
    "gemma2-scalar": dict(
        model="gemma2",
        head_dim=12,
        query_pre_attn_scalar=20,
        sliding_window=5,
        attn_logit_softcapping=None,
        final_logit_softcapping=None,
        attention_bias=True,
        tie_word_embeddings=True,
    ),
    # Five windows to one, two rotary bases.
    "gemma3-sixth": dict(
        model="gemma3_text",
        num_hidden_layers=7,
        hidden_size=24,
        intermediate_size=22,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=14,
        query_pre_attn_scalar=14,
        sliding_window=6,
        tie_word_embeddings=True,
        rope_parameters=dict(
            full_attention=dict(rope_type="linear", rope_theta=50000.0, factor=8.0),
            sliding_attention=dict(rope_type="default", rope_theta=1000.0),
        ),
    ),
    "gemma3-listed": dict(
        model="gemma3_text",
        num_hidden_layers=3,
        head_dim=10,
        query_pre_attn_scalar=16,
        sliding_window=9,
        layer_types=["full_attention", "sliding_attention", "sliding_attention"],
        final_logit_softcapping=15.0,
        tie_word_embeddings=True,
    ),
    # Fused matrices; LongRoPE that stays short, and one that becomes long after 30 tokens.
    "phi3-short": dict(model="phi3", original_max_position_embeddings=64, rope_parameters=LONG_ROPE),
    "phi3-long": dict(
        model="phi3",
        original_max_position_embeddings=30,
        num_key_value_heads=3,
        hidden_size=48,
        num_attention_heads=6,
        sliding_window=40,
        partial_rotary_factor=0.75,
        rope_parameters=dict(LONG_ROPE, partial_rotary_factor=0.75),
    ),
    "phi3-plain": dict(model="phi3", rope_parameters=PLAIN_ROPE, original_max_position_embeddings=96, sliding_window=11, tie_word_embeddings=True),
    # Norms behind attention and MLP only, queries and keys normalised by width.
    "olmo2-grouped": dict(model="olmo2"),
    "olmo2-bias": dict(model="olmo2", num_key_value_heads=6, attention_bias=True, rope_parameters=dict(rope_type="linear", rope_theta=500000.0, factor=2.0)),
    # Multipliers everywhere.
    "granite-tied": dict(
        model="granite",
        embedding_multiplier=0.4,
        residual_multiplier=0.8,
        attention_multiplier=0.3,
        logits_scaling=4.0,
        tie_word_embeddings=True,
    ),
    "granite-bias": dict(
        model="granite",
        embedding_multiplier=2.5,
        residual_multiplier=0.6,
        attention_multiplier=0.7,
        logits_scaling=0.5,
        attention_bias=True,
        mlp_bias=True,
    ),
}


def build(case: dict) -> torch.nn.Module:
    case = dict(case)
    case.pop("known", None)
    model = case.pop("model")
    config = AutoConfig.for_model(model, **{**SIZES, "rope_parameters": None if "gemma3" in model else dict(PLAIN_ROPE), **case})
    return AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()


def randomize(model: torch.nn.Module, seed: int) -> None:
    """Weights large enough that greedy tokens win by a clear margin; norms away from 1, biases from 0."""
    generator = torch.Generator().manual_seed(seed)
    adds_one = "gemma" in model.config.model_type
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator)
            if "norm" in name:
                # Contributions as large as the residual stream, or every token would repeat itself.
                is_behind = adds_one and ("post_attention" in name or "post_feedforward" in name)
                parameter.copy_((0.0 if adds_one else 1.0) + (1.5 if is_behind else 0.0) + 0.3 * noise)
            elif name.endswith("bias"):
                parameter.copy_(0.2 * noise)
            elif "embed" in name or "lm_head" in name:
                # Where the embedding is scaled, it would drown what the layers add.
                parameter.copy_((0.2 if adds_one else 1.0) * noise)
            else:
                parameter.copy_(1.5 * noise / parameter.shape[-1] ** 0.5)


@torch.no_grad()
def reference(model: torch.nn.Module, seed: int, known: int) -> tuple[list[int], list[int], torch.Tensor, float, int]:
    generator = torch.Generator().manual_seed(seed + 1)
    ids = [1] + torch.randint(6, known, (PROMPT_TOKENS - 1,), generator=generator).tolist()
    sequence, margin, passed_over = list(ids), float("inf"), 0
    for _ in range(GREEDY_TOKENS):
        last = model(torch.tensor([sequence]), use_cache=False).logits[0, -1]
        best = torch.topk(last[:known], 2)
        passed_over += int(last.argmax().item() >= known)
        margin = min(margin, (best.values[0] - best.values[1]).item() / last.abs().max().item())
        sequence.append(best.indices[0].item())
    # At the greedy positions as they were decoded: LongRoPE computes a longer sequence with other frequencies.
    logits = [model(torch.tensor([ids]), use_cache=False).logits[0]]
    for length in range(PROMPT_TOKENS + 1, len(sequence)):
        logits.append(model(torch.tensor([sequence[:length]]), use_cache=False).logits[0, -1:])
    return ids, sequence[PROMPT_TOKENS:], torch.cat(logits), margin, passed_over


def make(name: str, case: dict) -> None:
    folder = GOLDENS / f"family-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    known = case.get("known", VOCAB)
    for seed in range(100, 600):
        model = build(case)
        randomize(model, seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(parameter.to(torch.bfloat16))
        ids, greedy, logits, margin, passed_over = reference(copy.deepcopy(model).to(torch.float64), seed, known)
        if margin > 4e-3 and 2 not in greedy and len(set(greedy)) > 10 and (known == VOCAB or passed_over > 0):
            break
    else:
        raise SystemExit(f"{name}: no seed gives a decisive greedy continuation")

    for parameter in model.parameters():
        parameter.data = parameter.data.to(torch.bfloat16)
    model.config.dtype = "bfloat16"
    model.save_pretrained(folder)
    tokenizer = tokenizer_json()
    tokenizer["model"]["vocab"] = {word: i for word, i in tokenizer["model"]["vocab"].items() if i < known}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer) + "\n")
    write_json(folder / "tokenizer_config.json", dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>", add_bos_token=True))
    (folder / "logits.f32").write_bytes(logits.to(torch.float32).numpy().astype("<f4").tobytes())
    golden = dict(
        ids=ids,
        greedy_ids=greedy,
        smallest_margin=margin,
        largest_logit=logits.abs().max().item(),
        passed_over=passed_over,
        seed=seed,
        transformers=transformers.__version__,
        torch=torch.__version__.split("+")[0],
    )
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")
    for file in folder.iterdir():
        file.chmod(0o644)
    total = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{name}: {total} bytes, seed {seed}, smallest margin {margin:.2e}, {len(set(greedy))} distinct greedy ids, {passed_over} passed over", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in sys.argv[1:] or CASES:
        make(name, CASES[name])
