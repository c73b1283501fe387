"""Writes tests/goldens/llama-*: tiny random Llama checkpoints with what `transformers` computes from them.

    pip install torch transformers safetensors
    python tests/reference/make_llama_goldens.py

Each folder is a model as any other (config.json, tokenizer.json, safetensors) and besides it
    golden.json   prompt ids, greedy ids that follow, the smallest margin by which a greedy token won, the versions used
    logits.f32    float32 little endian [prompt + greedy - 1, vocab]: the logits at every position, computed in float64
The weights are rounded to the stored kind first, so the goldens hold for exactly what is in the files.
"""

import copy
import json
import shutil
from pathlib import Path

import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM

GOLDENS = Path(__file__).resolve().parent.parent / "goldens"
PROMPT_TOKENS = 40
GREEDY_TOKENS = 32
VOCAB = 131  # a prime: no multiple of any block or workgroup

COMMON = dict(vocab_size=VOCAB, max_position_embeddings=128, bos_token_id=1, eos_token_id=2, rms_norm_eps=1e-5)

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message.role }} {{ message.content }} {{ eos_token }} {% endfor %}"
    "{% if add_generation_prompt %}assistant{% endif %}"
)

CASES = {
    # Grouped queries, untied, "llama3" scaling whose original context is so short that every band of frequencies occurs.
    "llama-gqa-llama3": dict(
        first_seed=11,
        dtype=torch.float32,
        shard=None,
        chat_template=CHAT_TEMPLATE,
        config=dict(
            COMMON,
            hidden_size=60,
            intermediate_size=91,
            num_hidden_layers=3,
            num_attention_heads=6,
            num_key_value_heads=2,
            head_dim=10,
            tie_word_embeddings=False,
            rope_parameters=dict(
                rope_type="llama3",
                rope_theta=10000.0,
                factor=8.0,
                low_freq_factor=1.0,
                high_freq_factor=4.0,
                original_max_position_embeddings=16,
            ),
        ),
    ),
    # One key-value head a query head, tied, biases everywhere, heads wider than hidden / heads, linear scaling, bf16 in shards,
    # the configuration spelled as before transformers 5.
    "llama-tied-linear": dict(
        first_seed=23,
        dtype=torch.bfloat16,
        shard=60_000,
        old_spelling=True,
        config=dict(
            COMMON,
            hidden_size=52,
            intermediate_size=75,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            head_dim=18,
            tie_word_embeddings=True,
            attention_bias=True,
            mlp_bias=True,
            rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=2.5),
        ),
    ),
    # One key-value head for all, no scaling, another base, f16.
    "llama-mqa-f16": dict(
        first_seed=37,
        dtype=torch.float16,
        shard=None,
        config=dict(
            COMMON,
            hidden_size=50,
            intermediate_size=67,
            num_hidden_layers=2,
            num_attention_heads=5,
            num_key_value_heads=1,
            head_dim=10,
            tie_word_embeddings=False,
            rope_parameters=dict(rope_type="default", rope_theta=500000.0),
        ),
    ),
    # YaRN, three query heads a key-value head, f16.
    "llama-yarn": dict(
        first_seed=53,
        dtype=torch.float16,
        shard=None,
        config=dict(
            COMMON,
            hidden_size=42,
            intermediate_size=59,
            num_hidden_layers=2,
            num_attention_heads=6,
            num_key_value_heads=2,
            head_dim=22,
            tie_word_embeddings=True,
            rope_parameters=dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=32),
        ),
    ),
}

def randomize(model: LlamaForCausalLM, seed: int) -> None:
    """Weights large enough that greedy tokens win by a clear margin; norms and biases away from 1 and 0."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator)
            if "norm" in name:
                parameter.copy_(1.0 + 0.3 * noise)
            elif name.endswith("bias"):
                parameter.copy_(0.2 * noise)
            elif "embed" in name or "lm_head" in name:
                parameter.copy_(noise)
            else:
                parameter.copy_(1.5 * noise / parameter.shape[-1] ** 0.5)


def tokenizer_json() -> dict:
    words = ["<unk>", "<s>", "</s>", "system", "user", "assistant"]
    words += [f"w{i}" for i in range(len(words), VOCAB)]
    special = [
        dict(id=i, content=words[i], single_word=False, lstrip=False, rstrip=False, normalized=False, special=True) for i in range(3)
    ]
    begin = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    return dict(
        version="1.0",
        truncation=None,
        padding=None,
        added_tokens=special,
        normalizer=None,
        pre_tokenizer=dict(type="WhitespaceSplit"),
        post_processor=dict(
            type="TemplateProcessing",
            single=[begin, {"Sequence": {"id": "A", "type_id": 0}}],
            pair=[begin, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            special_tokens={"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
        ),
        decoder=None,
        model=dict(type="WordLevel", vocab={word: i for i, word in enumerate(words)}, unk_token="<unk>"),
    )


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def spell_config(folder: Path, case: dict) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    if case.get("old_spelling"):
        rope = config.pop("rope_parameters")
        config["rope_theta"] = rope.pop("rope_theta")
        config["rope_scaling"] = {"type": rope["rope_type"], "factor": rope["factor"]}
        config["torch_dtype"] = config.pop("dtype")
    write_json(path, config)


@torch.no_grad()
def reference(model: LlamaForCausalLM, seed: int) -> tuple[list[int], list[int], torch.Tensor, float]:
    generator = torch.Generator().manual_seed(seed + 1)
    ids = [1] + torch.randint(6, VOCAB, (PROMPT_TOKENS - 1,), generator=generator).tolist()
    sequence, margin = list(ids), float("inf")
    for _ in range(GREEDY_TOKENS):
        last = model(torch.tensor([sequence])).logits[0, -1]
        best = torch.topk(last, 2)
        margin = min(margin, (best.values[0] - best.values[1]).item() / last.abs().max().item())
        sequence.append(best.indices[0].item())
    logits = model(torch.tensor([sequence[:-1]])).logits[0]
    return ids, sequence[PROMPT_TOKENS:], logits, margin


def is_decisive(greedy: list[int], margin: float) -> bool:
    """Whether rounding within the tests' tolerances can't change the greedy ids, and they are worth comparing."""
    return margin > 4e-3 and 2 not in greedy and len(set(greedy)) > 12


def make(name: str, case: dict) -> None:
    folder = GOLDENS / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for seed in range(case["first_seed"], case["first_seed"] + 1000):
        model = LlamaForCausalLM(LlamaConfig(**case["config"])).eval()
        randomize(model, seed)
        with torch.no_grad():
            # Only the weights: converting the whole model would round its rotary frequencies too.
            for parameter in model.parameters():
                parameter.copy_(parameter.to(case["dtype"]))
        ids, greedy, logits, margin = reference(copy.deepcopy(model).to(torch.float64), seed)
        if is_decisive(greedy, margin):
            break
    else:
        raise SystemExit(f"{name}: no seed gives a decisive greedy continuation")

    model = model.to(case["dtype"])
    model.save_pretrained(folder, **({"max_shard_size": case["shard"]} if case["shard"] else {}))
    spell_config(folder, case)
    write_json(folder / "tokenizer.json", tokenizer_json())
    tokenizer_config = dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>", add_bos_token=True)
    if case.get("chat_template"):
        tokenizer_config["chat_template"] = case["chat_template"]
    write_json(folder / "tokenizer_config.json", tokenizer_config)
    (folder / "logits.f32").write_bytes(logits.to(torch.float32).numpy().astype("<f4").tobytes())
    golden = dict(
        ids=ids,
        greedy_ids=greedy,
        smallest_margin=margin,
        largest_logit=logits.abs().max().item(),
        seed=seed,
        transformers=transformers.__version__,
        torch=torch.__version__.split("+")[0],
    )
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")
    for file in folder.iterdir():
        file.chmod(0o644)
    total = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{name}: {total} bytes, seed {seed}, smallest margin {margin:.2e}, {len(set(greedy))} distinct greedy ids")


if __name__ == "__main__":
    for name, case in CASES.items():
        make(name, case)
