"""Writes tests/goldens/encoder-*/model.gguf with llama.cpp's own converter, for the goldens of make_encoder_goldens.py.

    pip install torch transformers safetensors gguf sentencepiece protobuf
    pip download --no-deps --no-binary :all: llama-cpp-python==0.3.36      # its sdist holds vendor/llama.cpp
    python tests/reference/make_encoder_gguf.py PATH/TO/vendor/llama.cpp [NAME…]

EmbeddingGemma's file has its projections. Only WordPiece vocabularies are written here, in the converter's form, since it does not know the goldens' tokenizers; of byte-level ones only the
pre-tokenizer's name is given. The converter leaves BERT's pooler out, and with it what a BERT classifier reads: the file of bert-labels has half a head.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

from make_encoder_goldens import gemma_model, pieces_model

GOLDENS = Path(__file__).resolve().parent.parent / "goldens"
NAMES = ["bert-mean", "bert-labels", "distilbert-labels", "roberta-bytes", "xlm-roberta-pieces", "modernbert-mean", "modernbert-scores", "gemma3-pieces"]
PRE = {"roberta": "roberta-bpe", "modernbert": "modern-bert"}
# What transformers would find beside a byte-level tokenizer.json.
SPECIAL = {
    "roberta": dict(bos_token="<s>", eos_token="</s>", sep_token="</s>", cls_token="<s>", pad_token="<pad>", unk_token="<unk>", mask_token="<mask>"),
    "modernbert": dict(sep_token="[SEP]", cls_token="[CLS]", pad_token="[PAD]", unk_token="[UNK]", mask_token="[MASK]"),
}
GEMMA = dict(bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>")


def word_pieces(self) -> None:
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
    model_type = hparams["model_type"]
    kind = get_model_class(hparams["architectures"][0])
    with tempfile.TemporaryDirectory() as place:
        source = Path(place) / folder.name
        shutil.copytree(folder, source)
        if model_type == "xlm-roberta":
            (source / "sentencepiece.bpe.model").write_bytes(pieces_model())
        elif model_type == "gemma3_text":
            (source / "tokenizer.model").write_bytes(gemma_model())
            (source / "tokenizer_config.json").write_text(json.dumps(dict(add_bos_token=True, add_eos_token=True, **GEMMA)))
        elif model_type in PRE:
            (source / "tokenizer_config.json").write_text(json.dumps(dict(tokenizer_class="PreTrainedTokenizerFast", **SPECIAL[model_type])))
            kind.get_vocab_base_pre = lambda self, tokenizer: PRE[self.hparams["model_type"]]
        else:
            kind.set_vocab = word_pieces
        # What the converter's option --sentence-transformers-dense-modules sets: the projections become part of the file.
        more = dict(sentence_transformers_dense_modules=True) if (folder / "2_Dense").exists() else {}
        with torch.inference_mode():
            kind(source, gguf.LlamaFileType.ALL_F32, folder / "model.gguf", model_name=folder.name, hparams=hparams, **more).write()
    path = folder / "model.gguf"
    path.chmod(0o644)
    print(f"{folder.name}: {path.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    llama_cpp = Path(sys.argv[1])
    sys.path[:0] = [str(llama_cpp), str(llama_cpp / "gguf-py")]
    for name in sys.argv[2:] or NAMES:
        convert(GOLDENS / f"encoder-{name}")
