"""Writes tests/goldens/encoder-*/model.gguf with llama.cpp's own converter, for the goldens of make_encoder_goldens.py.

    pip install torch transformers safetensors gguf
    pip download --no-deps --no-binary :all: llama-cpp-python==0.3.36      # its sdist holds vendor/llama.cpp
    python tests/reference/make_encoder_gguf.py PATH/TO/vendor/llama.cpp [NAME…]

Only the vocabulary is ours, in the converter's form, since it does not know the goldens' tokenizers. The architecture of a case with a head is
that of the model without one: the converter drops what stands before a BERT classifier.
"""

import json
import sys
from pathlib import Path

GOLDENS = Path(__file__).resolve().parent.parent / "goldens"
NAMES = ["bert-mean", "bert-labels", "distilbert-labels"]
ARCHITECTURES = {"bert": "BertModel", "distilbert": "DistilBertModel"}


def vocabulary(self) -> None:
    import gguf

    tokenizer = json.loads((self.dir_model / "tokenizer.json").read_text())
    words = list(tokenizer["model"]["vocab"])
    special = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    # A word begins with a phantom space, a piece within one with nothing, as the converter writes BERT's vocabulary.
    shown = [word if word in special else word[2:] if word.startswith("##") else "\u2581" + word for word in words]
    types = [gguf.TokenType.CONTROL if word in special else gguf.TokenType.NORMAL for word in words]
    self.gguf_writer.add_token_type_count(self.hparams.get("type_vocab_size", 1))
    self.gguf_writer.add_tokenizer_model("bert")
    self.gguf_writer.add_tokenizer_pre("default")
    self.gguf_writer.add_token_list(shown)
    self.gguf_writer.add_token_types(types)
    self.gguf_writer.add_unk_token_id(words.index("[UNK]"))
    self.gguf_writer.add_sep_token_id(words.index("[SEP]"))
    self.gguf_writer.add_bos_token_id(words.index("[CLS]"))


def convert(folder: Path) -> None:
    import gguf
    import torch
    from conversion import ModelBase, get_model_class

    hparams = ModelBase.load_hparams(folder, False)
    hparams["architectures"] = [ARCHITECTURES[hparams["model_type"]]]
    for key in ("id2label", "label2id"):
        hparams.pop(key, None)
    kind = get_model_class(hparams["architectures"][0])
    kind.set_vocab = vocabulary
    heads = ("classifier", "pre_classifier")
    whole = kind.filter_tensors.__func__
    kind.filter_tensors = classmethod(lambda cls, item: None if item[0].startswith(heads) else whole(cls, item))
    with torch.inference_mode():
        kind(folder, gguf.LlamaFileType.ALL_F32, folder / "model.gguf", model_name=folder.name, hparams=hparams).write()
    path = folder / "model.gguf"
    path.chmod(0o644)
    print(f"{folder.name}: {path.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    llama_cpp = Path(sys.argv[1])
    sys.path[:0] = [str(llama_cpp), str(llama_cpp / "gguf-py")]
    for name in sys.argv[2:] or NAMES:
        convert(GOLDENS / f"encoder-{name}")
