"""Writes tests/goldens/encoder-*: tiny random encoders with what `transformers` computes from them.

    pip install torch transformers safetensors tokenizers sentencepiece protobuf sentence-transformers
    python tests/reference/make_encoder_goldens.py [NAME…]

Each folder is a model as any other (config.json, tokenizer.json, safetensors, and the files of sentence-transformers where the case has them) and
besides it
    golden.json   for each text its ids as `tokenizers` makes them, cut at max_seq_length, and how many were cut; logits where there is a head, also of
                  pairs of texts, which are cut as `longest_first` says
    states.f32    float32 little endian: the last layer's states of all texts, one text behind the other, [ids, width], computed in float64
    vectors.f32   the unit vectors of the texts, behind the projections of sentence-transformers where the case has them, [texts, dimensions]
The weights are rounded to the stored kind first, so the goldens hold for exactly what is in the files. Sizes lie off every block and workgroup.
"""

import base64
import copy
import io
import json
import shutil
import sys
import tempfile

import tokenizers
import torch
import transformers
from safetensors.torch import load_file, save_file
from sentence_transformers.models import Dense
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification

from make_llama_goldens import GOLDENS, write_json

WORDS = "the a weather jazz play card lost my was is in of to and rain ##ing ##s ##ed ##er un ##known b ##c é 7 ##2 ! , . ' - ?".split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

TEXTS = [
    "The weather was raining, and playing jazz!",
    "",
    "Unknown CARDS: lost in bc 72. Is my card lost? [SEP] é É ü",
    "a",
    "the rain is in the unknown weather and the jazz player played jazz to the lost card, the lost card was the player's card and rain - rains.",
]

# Runs of spaces are tokens of their own to ModernBERT, and letters with marks are composed.
SPACED = [*TEXTS, "  two  spaces,\n\n\t\ttabs and a cafe\u0301 [CLS] 72   ? "]

PAIRS = [
    ("The weather was raining", "and playing jazz!"),
    ("", "a"),
    (TEXTS[4], "the lost card"),
    ("the rain", TEXTS[4]),
    (TEXTS[4], TEXTS[4] + " " + TEXTS[0]),
    ("Is my card lost?", ""),
]
PROMPTS = {"query": "the known query is: ", "document": "a document - "}

SIZES = dict(hidden_size=36, intermediate_size=50, num_hidden_layers=2, num_attention_heads=6, max_position_embeddings=44)
MODERN = dict(
    model="modernbert", hidden_size=36, intermediate_size=50, num_hidden_layers=4, num_attention_heads=6, pad_token_id=0, bos_token_id=2, eos_token_id=3,
    cls_token_id=2, sep_token_id=3,
)
GEMMA = dict(
    model="gemma3_text",
    use_bidirectional_attention=True,
    hidden_size=36,
    intermediate_size=50,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=14,
    max_position_embeddings=60,
    pad_token_id=0,
    bos_token_id=2,
    eos_token_id=3,
)
LABELS = {0: "calm", 1: "glad", 2: "sad"}
DISTIL = dict(dim=30, hidden_dim=45, n_layers=3, n_heads=3, max_position_embeddings=40)

CASES = {
    "bert-mean": dict(model="bert", dtype=torch.float32, pooling="mean_tokens", max_seq_length=14, **SIZES),
    # Named as the first files were, with a head that predicts words, tanh's approximation of GELU.
    "bert-first": dict(
        model="bert",
        dtype=torch.float16,
        pooling="cls_token",
        old_names=True,
        hidden_act="gelu_new",
        **dict(SIZES, hidden_size=30, num_attention_heads=3, num_hidden_layers=3, layer_norm_eps=1e-5),
    ),
    "bert-labels": dict(model="bert", dtype=torch.bfloat16, id2label=LABELS, **SIZES),
    "distilbert-labels": dict(model="distilbert", dtype=torch.float32, id2label=LABELS, problem_type="multi_label_classification", **DISTIL),
    "roberta-last": dict(model="roberta", dtype=torch.float32, pooling="lasttoken", type_vocab_size=1, pad_token_id=0, **SIZES),
    "xlm-roberta-labels": dict(model="xlm-roberta", dtype=torch.float32, id2label=LABELS, type_vocab_size=1, pad_token_id=0, **SIZES),
    # Every third layer global, windows of 3 on either side.
    "modernbert-mean": dict(dtype=torch.float32, pooling="mean_tokens", max_seq_length=30, local_attention=6, max_position_embeddings=50, **MODERN),
    # With a head that predicts words, and the keys of older files; two layers see 5 on either side.
    "modernbert-first": dict(
        dtype=torch.float16,
        pooling="cls_token",
        predicts=True,
        local_attention=11,
        max_position_embeddings=120,
        layer_types=["full_attention", "sliding_attention"] * 2,
        rope_parameters=dict(full_attention=dict(rope_type="default", rope_theta=300.0), sliding_attention=dict(rope_type="default", rope_theta=20.0)),
        older_keys=dict(global_attn_every_n_layers=2, global_rope_theta=300.0, local_rope_theta=20.0),
        **MODERN,
    ),
    # Biases everywhere, and a head that reads the mean.
    "modernbert-labels": dict(
        dtype=torch.bfloat16,
        id2label=LABELS,
        classifier_pooling="mean",
        classifier_activation="silu",
        hidden_activation="gelu_pytorch_tanh",
        attention_bias=True,
        mlp_bias=True,
        norm_bias=True,
        classifier_bias=True,
        local_attention=4,
        max_position_embeddings=120,
        layer_types=["sliding_attention", "full_attention", "sliding_attention", "sliding_attention"],
        **MODERN,
    ),
    # Five of six layers see 3 on either side (with themselves 4); two projections as EmbeddingGemma has them, and prompts.
    "gemma3-projected": dict(
        dtype=torch.float32,
        pooling="mean_tokens",
        max_seq_length=30,
        sliding_window=7,
        num_hidden_layers=6,
        dense=[(36, 50, False, torch.nn.Identity()), (50, 28, False, torch.nn.Identity())],
        prompts=PROMPTS,
        **GEMMA,
    ),
    # Listed layers, biases, bent scores, one projection with an activation, the last token.
    "gemma3-listed": dict(
        dtype=torch.bfloat16,
        pooling="lasttoken",
        sliding_window=4,
        num_hidden_layers=3,
        layer_types=["full_attention", "sliding_attention", "sliding_attention"],
        attention_bias=True,
        attn_logit_softcapping=3.0,
        query_pre_attn_scalar=20,
        dense=[(36, 19, True, torch.nn.Tanh())],
        **GEMMA,
    ),
    # Of these the GGUF file has the head, too.
    "xlm-roberta-pieces": dict(
        model="xlm-roberta", tokens="pieces", dtype=torch.float32, id2label=LABELS, type_vocab_size=1, pad_token_id=1, bos_token_id=0, eos_token_id=2,
        **dict(SIZES, max_position_embeddings=120, layer_norm_eps=1e-5),
    ),
    "roberta-bytes": dict(
        model="roberta", tokens="bytes", dtype=torch.float16, id2label={0: "relevance"}, type_vocab_size=1, pad_token_id=1, bos_token_id=0, eos_token_id=2,
        **dict(SIZES, max_position_embeddings=150, layer_norm_eps=1e-5),
    ),
    "modernbert-scores": dict(
        dtype=torch.float32, id2label=LABELS, classifier_pooling="mean", hidden_activation="silu", local_attention=4, global_attn_every_n_layers=2,
        max_position_embeddings=120, **MODERN,
    ),
    # What llama.cpp's converter keeps of EmbeddingGemma: scores by the size of a head, two projections without bias back to the states' width.
    "gemma3-pieces": dict(
        tokens="gemma",
        dtype=torch.bfloat16,
        pooling="mean_tokens",
        sliding_window=9,
        num_hidden_layers=7,
        query_pre_attn_scalar=14,
        dense=[(36, 50, False, torch.nn.Identity()), (50, 36, False, torch.nn.Identity())],
        **dict(GEMMA, max_position_embeddings=200, pad_token_id=0, eos_token_id=1, bos_token_id=2),
    ),
}


def tokenizer() -> tokenizers.Tokenizer:
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    words = dict.fromkeys([*SPECIAL, *WORDS, *letters, *(f"##{letter}" for letter in letters)])
    model = tokenizers.models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]", max_input_chars_per_word=100)
    made = tokenizers.Tokenizer(model)
    made.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    made.decoder = tokenizers.decoders.WordPiece()
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    # Not declared as special, since what stands in a text is text: `transformers` would take "[SEP]" in it for the token.
    return made


def modern_tokenizer() -> tokenizers.Tokenizer:
    """Bytes and a few merges, runs of spaces as tokens of their own, as ModernBERT has them."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.normalizer = tokenizers.normalizers.NFC()
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True)
    made.decoder = tokenizers.decoders.ByteLevel()
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    plain = {word: i for i, word in enumerate([*SPECIAL, *alphabet])}
    merges = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("a", "n"), ("Ġ", "c"), ("i", "n"), ("in", "g"), ("r", "a"), ("e", "r"), ("Ã", "©"), ("s", "t"), ("Ġ", "p")]
    for pair in merges:
        plain.setdefault("".join(pair), len(plain))
    made.model = tokenizers.models.BPE(vocab=plain, merges=merges)
    made.add_tokens([tokenizers.AddedToken(" " * n, normalized=True) for n in (3, 2)])
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return made


ROBERTA_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def byte_tokenizer() -> tokenizers.Tokenizer:
    """Bytes and a few merges, as RoBERTa has them."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True)
    made.decoder = tokenizers.decoders.ByteLevel()
    words = {word: i for i, word in enumerate([*ROBERTA_SPECIAL, *sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())])}
    merges = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("a", "n"), ("Ġ", "c"), ("i", "n"), ("in", "g"), ("r", "a"), ("e", "r")]
    for pair in merges:
        words.setdefault("".join(pair), len(words))
    made.model = tokenizers.models.BPE(vocab=words, merges=merges)
    made.post_processor = tokenizers.processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False)
    return made


# From, to: letters that SentencePiece's normalisation replaces here, in hexadecimal.
NORMALIZED = ["9\t20", "A\t20", "E9\t65", "C9\t45", "DC\t75 65", "65 301\t65", "FB03\t66 66 69", "FF21\t41"]


def pieces_model() -> bytes:
    """A small Unigram model of SentencePiece."""
    from sentencepiece import SentencePieceTrainer

    made = io.BytesIO()
    words = [word.removeprefix("##") for word in WORDS if word.isascii()]
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
        rules.write("\n".join(NORMALIZED) + "\n")
        rules.flush()
        corpus = [text.replace("é", "e") for text in TEXTS if text] * 5 + words
        SentencePieceTrainer.train(
            sentence_iterator=iter(corpus), model_writer=made, vocab_size=90, model_type="unigram", hard_vocab_limit=False, num_threads=1,
            normalization_rule_tsv=rules.name, minloglevel=2,
        )
    return made.getvalue()


def piece_tokenizer() -> tokenizers.Tokenizer:
    """The same as XLM-RoBERTa's tokenizer.json holds it: special tokens first, the mask last."""
    from sentencepiece import SentencePieceProcessor, sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(pieces_model())
    pieces = SentencePieceProcessor(model_proto=proto.SerializeToString())
    vocab = [(token, 0.0) for token in ROBERTA_SPECIAL[:4]]
    vocab += [(pieces.IdToPiece(i), pieces.GetScore(i)) for i in range(3, pieces.vocab_size())] + [("<mask>", 0.0)]
    made = tokenizers.Tokenizer(tokenizers.models.Unigram(vocab, unk_id=3, byte_fallback=False))
    made.normalizer = tokenizers.normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap)
    split = tokenizers.pre_tokenizers
    made.pre_tokenizer = split.Sequence([split.WhitespaceSplit(), split.Metaspace(replacement="▁", prepend_scheme="always")])
    made.decoder = tokenizers.decoders.Metaspace(replacement="▁", prepend_scheme="always")
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return made


def gemma_model() -> bytes:
    """A small BPE model of SentencePiece with tokens for bytes, as Gemma's: nothing is normalised, no space is put before a text."""
    from sentencepiece import SentencePieceTrainer

    made = io.BytesIO()
    corpus = [text for text in SPACED if text] * 5 + [word.removeprefix("##") for word in WORDS]
    SentencePieceTrainer.train(
        sentence_iterator=iter(corpus), model_writer=made, vocab_size=340, model_type="bpe", hard_vocab_limit=False, num_threads=1, byte_fallback=True,
        normalization_rule_name="identity", add_dummy_prefix=False, remove_extra_whitespaces=False, pad_id=0, eos_id=1, bos_id=2, unk_id=3,
        pad_piece="<pad>", eos_piece="<eos>", bos_piece="<bos>", unk_piece="<unk>", character_coverage=0.98, minloglevel=2,
    )
    return made.getvalue()


def gemma_tokenizer() -> tokenizers.Tokenizer:
    """The same as Gemma's tokenizer.json holds it: a piece's merges are all pairs of pieces that it is made of, in the order of the pieces."""
    from sentencepiece import SentencePieceProcessor

    pieces = SentencePieceProcessor(model_proto=gemma_model())
    vocab = {pieces.IdToPiece(i): i for i in range(pieces.vocab_size())}
    merges = []
    for piece in sorted(vocab, key=lambda piece: -pieces.GetScore(vocab[piece])):
        halves = [(piece[:at], piece[at:]) for at in range(1, len(piece))]
        merges += sorted((pair for pair in halves if pair[0] in vocab and pair[1] in vocab), key=lambda pair: (vocab[pair[0]], vocab[pair[1]]))
    made = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    made.normalizer = tokenizers.normalizers.Replace(" ", "▁")
    made.pre_tokenizer = tokenizers.pre_tokenizers.Split(" ", behavior="merged_with_previous")
    decode = tokenizers.decoders
    made.decoder = decode.Sequence([decode.Replace("▁", " "), decode.ByteFallback(), decode.Fuse()])
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="<bos> $A <eos>", pair="<bos> $A <eos> <bos>:1 $B:1 <eos>:1", special_tokens=[("<bos>", 2), ("<eos>", 1)]
    )
    return made


TOKENIZERS = {"words": tokenizer, "modern": modern_tokenizer, "bytes": byte_tokenizer, "pieces": piece_tokenizer, "gemma": gemma_tokenizer}


def tokenizer_of(case: dict) -> tokenizers.Tokenizer:
    return TOKENIZERS[case.get("tokens", "modern" if case["model"] == "modernbert" else "words")]()


OWN_KEYS = ("dtype", "tokens", "pooling", "max_seq_length", "old_names", "older_keys", "predicts", "dense", "prompts")


def build(case: dict) -> torch.nn.Module:
    vocab_size = tokenizer_of(case).get_vocab_size()
    predicts = case.get("predicts")
    case = {key: value for key, value in case.items() if key not in OWN_KEYS}
    config = AutoConfig.for_model(case.pop("model"), vocab_size=vocab_size, **case)
    auto = AutoModelForSequenceClassification if "id2label" in case else AutoModelForMaskedLM if predicts else AutoModel
    return auto.from_config(config, attn_implementation="eager").eval()


def randomize(model: torch.nn.Module, seed: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("bias"):
                parameter.copy_(0.3 * noise)
            elif "norm" in name.lower():
                parameter.copy_(1.0 + 0.3 * noise)
            elif "embeddings" in name:
                parameter.copy_(noise)
            else:
                parameter.copy_(2.0 * noise / parameter.shape[-1] ** 0.5)
            parameter.copy_(parameter.to(dtype))


def pooled(states: torch.Tensor, pooling: str) -> torch.Tensor:
    return {"mean_tokens": states.mean(0), "cls_token": states[0], "lasttoken": states[-1]}[pooling]


@torch.no_grad()
def make(name: str, case: dict) -> None:
    folder = GOLDENS / f"encoder-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model = build(case)
    seed = 1000 + list(CASES).index(name)
    randomize(model, seed, case["dtype"])
    exact = copy.deepcopy(model).to(torch.float64)
    base = getattr(exact, exact.base_model_prefix, exact)
    config = model.config
    first = config.pad_token_id + 1 if "roberta" in case["model"] else 0
    most = case.get("max_seq_length", config.max_position_embeddings - first)
    encoder = tokenizer_of(case)
    dense = [Dense(reads, makes, bias=bias, activation_function=activation) for reads, makes, bias, activation in case.get("dense", [])]
    for number, module in enumerate(dense):
        randomize(module, seed + 100 + number, torch.float32)
    texts, states, vectors = [], [], []
    plain = [(None, text) for text in (SPACED if case["model"] == "modernbert" or "tokens" in case else TEXTS)]
    for prompt, text in plain + [(name, text) for name in case.get("prompts", {}) for text in TEXTS[:2]]:
        entry = dict(text=text)
        if prompt:
            entry["prompt"] = prompt
            text = case["prompts"][prompt] + text
        whole = encoder.encode(text).ids
        encoder.enable_truncation(most)
        ids = encoder.encode(text).ids
        encoder.no_truncation()
        last = base(torch.tensor([ids])).last_hidden_state[0]
        vector = pooled(last, case.get("pooling", "mean_tokens"))
        for module in dense:
            vector = copy.deepcopy(module).to(torch.float64)(dict(sentence_embedding=vector))["sentence_embedding"]
        entry |= dict(ids=ids, truncated=len(whole) - len(ids))
        if "id2label" in case:
            entry["logits"] = exact(torch.tensor([ids])).logits[0].tolist()
        texts.append(entry)
        states.append(last)
        vectors.append(vector / vector.norm())
    pairs = []
    for first, second in PAIRS if "id2label" in case else []:
        whole = encoder.encode(first, second).ids
        encoder.enable_truncation(most, strategy="longest_first")
        encoding = encoder.encode(first, second)
        encoder.no_truncation()
        reads_types = case["model"] == "bert"
        types = dict(token_type_ids=torch.tensor([encoding.type_ids])) if reads_types else {}
        logits = exact(torch.tensor([encoding.ids]), **types).logits[0].tolist()
        pairs.append(dict(texts=[first, second], ids=encoding.ids, types=encoding.type_ids, truncated=len(whole) - len(encoding.ids), logits=logits))
    assert any(entry["truncated"] for entry in texts) == ("max_seq_length" in case), [entry["truncated"] for entry in texts]

    model.to(case["dtype"]).save_pretrained(folder)
    if case.get("old_names"):
        tensors = load_file(folder / "model.safetensors")
        old = {f"bert.{key}".replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value for key, value in tensors.items()}
        old["cls.predictions.bias"] = torch.zeros(config.vocab_size, dtype=case["dtype"])
        old["bert.embeddings.position_ids"] = torch.arange(config.max_position_embeddings)[None]
        save_file(old, folder / "model.safetensors", metadata={"format": "pt"})
    if "older_keys" in case:
        written = json.loads((folder / "config.json").read_text())
        del written["rope_parameters"], written["layer_types"]
        write_json(folder / "config.json", written | case["older_keys"])
    encoder.save(str(folder / "tokenizer.json"), pretty=False)
    if "pooling" in case:
        kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), *((f"{2 + i}_Dense", "Dense") for i in range(len(dense))), (f"{2 + len(dense)}_Normalize", "Normalize")]
        for (path, _), module in zip(kinds[2:], dense):
            (folder / path).mkdir()
            module.save(str(folder / path))
        write_json(folder / "modules.json", [dict(idx=i, name=str(i), path=path, type=f"sentence_transformers.models.{kind}") for i, (path, kind) in enumerate(kinds)])
        (folder / "1_Pooling").mkdir()
        modes = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
        pooling = {f"pooling_mode_{mode}": mode == case["pooling"] for mode in modes}
        write_json(folder / "1_Pooling/config.json", dict(word_embedding_dimension=config.hidden_size, **pooling))
    if "prompts" in case:
        write_json(folder / "config_sentence_transformers.json", dict(prompts=case["prompts"], default_prompt_name=None, similarity_fn_name="cosine"))
    if "max_seq_length" in case:
        write_json(folder / "sentence_bert_config.json", dict(max_seq_length=most, do_lower_case=False))
    floats = lambda tensor: tensor.to(torch.float32).numpy().astype("<f4").tobytes()
    (folder / "states.f32").write_bytes(floats(torch.cat(states)))
    (folder / "vectors.f32").write_bytes(floats(torch.stack(vectors)))
    golden = dict(texts=texts, **(dict(pairs=pairs) if pairs else {}), seed=seed, transformers=transformers.__version__, torch=torch.__version__.split("+")[0], tokenizers=tokenizers.__version__)
    (folder / "golden.json").write_text(json.dumps(golden, ensure_ascii=False) + "\n")
    for file in folder.rglob("*"):
        file.chmod(0o755 if file.is_dir() else 0o644)
    total = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"{name}: {total} bytes, {[len(entry['ids']) for entry in texts]} ids, cosines {torch.stack(vectors)[0] @ torch.stack(vectors)[2]:.3f}", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in sys.argv[1:] or CASES:
        make(name, CASES[name])
