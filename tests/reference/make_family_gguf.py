"""Writes tests/goldens/family-*/model.gguf with llama.cpp's own converter, for the goldens of make_family_goldens.py.

    pip install torch transformers safetensors gguf
    pip download --no-deps --no-binary :all: llama-cpp-python==0.3.36      # its sdist holds vendor/llama.cpp
    python tests/reference/make_family_gguf.py PATH/TO/vendor/llama.cpp [NAME…]

Only the vocabulary is ours: the words of the goldens' tokenizers are whole tokens, which the converter does not know. Not every case can be
stored: GGUF has no place for the window layers of Qwen, for lists of NoPE layers, and for attention scales of its own.
"""

import json
import sys
from pathlib import Path

GOLDENS = Path(__file__).resolve().parent.parent / "goldens"
NAMES = [
    "qwen2-padded",
    "qwen3-tied",
    "smollm3-fourth",
    "mistral-full",
    "gemma2-capped",
    "gemma3-sixth",
    "phi3-short",
    "phi3-long",
    "olmo2-bias",
    "granite-tied",
]


def vocabulary(self) -> None:
    import gguf

    tokenizer = json.loads((self.dir_model / "tokenizer.json").read_text())
    words = list(tokenizer["model"]["vocab"])
    types = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL] + [gguf.TokenType.NORMAL] * (len(words) - 3)
    for i in range(len(words), self.hparams["vocab_size"]):
        words.append(f"[PAD{i}]")
        types.append(gguf.TokenType.UNUSED)
    self.gguf_writer.add_tokenizer_model("llama")
    self.gguf_writer.add_token_list(words)
    self.gguf_writer.add_token_scores([0.0] * len(words))
    self.gguf_writer.add_token_types(types)
    self.gguf_writer.add_bos_token_id(1)
    self.gguf_writer.add_eos_token_id(2)


def convert(folder: Path) -> None:
    import gguf
    import torch
    from conversion import ModelBase, ModelType, get_model_architecture, get_model_class

    architecture = get_model_architecture(ModelBase.load_hparams(folder, False), ModelType.TEXT)
    kind = get_model_class(architecture)
    kind.set_vocab = vocabulary
    with torch.inference_mode():
        kind(folder, gguf.LlamaFileType.MOSTLY_BF16, folder / "model.gguf", model_name=folder.name).write()
    path = folder / "model.gguf"
    path.chmod(0o644)
    print(f"{folder.name}: {path.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    llama_cpp = Path(sys.argv[1])
    sys.path[:0] = [str(llama_cpp), str(llama_cpp / "gguf-py")]
    for name in sys.argv[2:] or NAMES:
        convert(GOLDENS / f"family-{name}")
