"""Trains the byte-level BPE tokenizer of eyas-nano and frames its prompts.

Merges never join a space to a letter or a digit. A word therefore has the same
tokens after a space (in the utterance) as after a quotation mark (in the JSON),
and copying a slot value is copying tokens. The file written is an ordinary
byte-level BPE: the restriction lives in the merges, not in the pre-tokenizer.
"""

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models
from tokenizers import pre_tokenizers, trainers

PAD, BOS, EOS = "<|pad|>", "<|bos|>", "<|eos|>"
USER, AGAIN, ASSISTANT = "<|user|>", "<|again|>", "<|assistant|>"
SPECIALS = (PAD, BOS, EOS, USER, AGAIN, ASSISTANT)

CHAT_TEMPLATE = (
    "{%- set ns = namespace(request='') -%}"
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'user' -%}"
    "{%- set ns.request = message['content'] -%}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{{- bos_token + '<|user|>' + ns.request + '<|again|>' + ns.request -}}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)


def byte_level(use_regex):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)


def train_tokenizer(utterances, vocab_size):
    tokenizer = Tokenizer(models.BPE())
    detach_space = pre_tokenizers.Split(Regex(r"^ (?=[\p{L}\p{N}])"), "isolated")
    word_or_marks = Regex(r" ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(word_or_marks, "isolated"),
            detach_space,
            byte_level(use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIALS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    lines = (line for u in utterances for line in (u.text, u.target()))
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.pre_tokenizer = byte_level(use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(s, special=True) for s in SPECIALS])
    return tokenizer


def prompt_text(utterance_text):
    """What the chat template renders for one user message."""
    return f"{BOS}{USER}{utterance_text}{AGAIN}{utterance_text}{ASSISTANT}"


def tokenizer_config(max_length, special_ids):
    flags = {"lstrip": False, "rstrip": False, "normalized": False, "single_word": False}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": PAD,
        "add_bos_token": False,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": max_length,
        "added_tokens_decoder": {
            str(number): {"content": content, "special": True} | flags
            for content, number in special_ids.items()
        },
        "chat_template": CHAT_TEMPLATE,
    }
