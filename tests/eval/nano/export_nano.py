"""Writes a trained checkpoint as a Hugging Face model folder in float16.

    python export_nano.py --data DIR --work DIR --model DIR [--prefer averaged]

Afterwards the folder is opened with `transformers`, and its logits and prompts
are compared with those of the training code.
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from nano_model import NanoModel, NanoShape
from nano_tokenizer import BOS, EOS, PAD, SPECIALS, prompt_text, tokenizer_config
from snips_data import load_split

LOGIT_TOLERANCE = 2e-3


def model_config(shape, token_id):
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "max_position_embeddings": shape.max_positions,
        "rms_norm_eps": shape.norm_eps,
        "rope_theta": shape.rope_theta,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "mlp_bias": False,
        "initializer_range": 0.02,
        "bos_token_id": token_id(BOS),
        "eos_token_id": token_id(EOS),
        "pad_token_id": token_id(PAD),
        "torch_dtype": "float16",
        "use_cache": True,
    }


def write_json(path, content):
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def halved_weights(parameters):
    """The Hugging Face tensors in float16; the tagging head stays behind."""
    kept = {n: p for n, p in parameters.items() if not n.startswith("tag_head.")}
    return {f"model.{n}": p.to(torch.float16).contiguous() for n, p in sorted(kept.items())}


def load_exported(folder):
    """The training-side model filled with the exported float16 weights."""
    config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    shape = NanoShape(
        config["vocab_size"],
        config["hidden_size"],
        config["intermediate_size"],
        config["num_hidden_layers"],
        config["num_attention_heads"],
        config["num_key_value_heads"],
    )
    model = NanoModel(shape)
    tensors = load_file(Path(folder) / "model.safetensors")
    model.load_state_dict({n.removeprefix("model."): t.float() for n, t in tensors.items()})
    return model.eval()


def compare_with_transformers(folder, utterances):
    """The largest logit difference between the two implementations."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    reference = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    plain = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    ours = load_exported(folder)
    worst = 0.0
    for utterance in utterances:
        messages = [{"role": "user", "content": utterance.text}]
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        assert text == prompt_text(utterance.text), text
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert ids == plain.encode(text, add_special_tokens=False).ids
        ids = torch.tensor([ids + plain.encode(utterance.target()).ids])
        with torch.no_grad():
            gap = (reference(ids).logits - ours(ids)[0]).abs().max().item()
        worst = max(worst, gap)
    assert worst < LOGIT_TOLERANCE, worst
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--work", required=True, help="folder with the checkpoint")
    parser.add_argument("--model", required=True, help="model folder to write")
    parser.add_argument("--prefer", choices=("averaged", "model"), default="averaged")
    args = parser.parse_args()
    torch.set_num_threads(2)
    folder = Path(args.model)
    folder.mkdir(parents=True, exist_ok=True)

    tokenizer = Tokenizer.from_file(str(Path(args.work) / "tokenizer.json"))
    tokenizer.save(str(folder / "tokenizer.json"))
    shape = NanoShape(tokenizer.get_vocab_size())
    config = model_config(shape, tokenizer.token_to_id)
    write_json(folder / "config.json", config)
    generation = {"bos_token_id": config["bos_token_id"], "eos_token_id": config["eos_token_id"]}
    generation |= {"pad_token_id": config["pad_token_id"], "do_sample": False}
    write_json(folder / "generation_config.json", generation)
    special_ids = {s: tokenizer.token_to_id(s) for s in SPECIALS}
    write_json(folder / "tokenizer_config.json", tokenizer_config(shape.max_positions, special_ids))

    saved = torch.load(Path(args.work) / "checkpoint.pt", weights_only=True)
    weights = halved_weights(saved[args.prefer])
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    size = sum(t.numel() for t in weights.values())
    _, dev = load_split(args.data)
    gap = compare_with_transformers(folder, dev[::40])
    print(f"{size} parameters, epoch {saved['epoch']}, largest logit gap {gap:.1e}")


if __name__ == "__main__":
    main()
