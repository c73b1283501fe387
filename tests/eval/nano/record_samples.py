"""Records greedy answers of the exported model to utterances written for the demo.

    python record_samples.py --model DIR --samples FILE

The answers come from `transformers` in float32, so that another implementation of
the model can be tested against them token by token. `smallest_margin` tells by how
much the chosen tokens led at least; `output_ids` end with the end-of-answer token.
"""

import argparse
import json
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

UTTERANCES = (
    "play some jazz by miles davis on spotify",
    "book a table for two tomorrow at seven",
    "what's the weather in Oslo this weekend",
    "add this song to my road trip playlist",
    "give The Old Man and the Sea five stars",
    "when is Casablanca playing at the nearest cinema",
    "find the book called The Secret Garden",
    "will it rain in Lisbon on friday?",
    "put on the album Kind of Blue",
    "reserve a spot for six at an italian restaurant in Boston, MA",
    "rate this novel 3 out of 6",
    "show me the movie times for tonight",
    "Can you add Bill Evans to my late night jazz list, please?",
    "is it going to be colder in Nairobi in two hours",
)


@torch.no_grad()
def smallest_margin(model, ids, prompt_length):
    """The least lead, in logits, of a chosen token over the next best."""
    logits = model(ids).logits[0, prompt_length - 1 : -1]
    best = logits.topk(2, dim=-1).values
    return round((best[:, 0] - best[:, 1]).min().item(), 4)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--samples", required=True, help="JSON file to write")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    samples = []
    for utterance in UTTERANCES:
        messages = [{"role": "user", "content": utterance}]
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        prompt_ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        room = model.config.max_position_embeddings - len(prompt_ids)
        with torch.no_grad():
            ids = model.generate(
                torch.tensor([prompt_ids]),
                attention_mask=torch.ones(1, len(prompt_ids), dtype=torch.long),
                max_new_tokens=room,
                do_sample=False,
            )
        output_ids = ids[0, len(prompt_ids) :].tolist()
        samples.append(
            {
                "utterance": utterance,
                "prompt_ids": prompt_ids,
                "output_ids": output_ids,
                "output_text": tokenizer.decode(output_ids, skip_special_tokens=True),
                "smallest_margin": smallest_margin(model, ids, len(prompt_ids)),
            }
        )
        print(samples[-1]["smallest_margin"], utterance, "->", samples[-1]["output_text"])
    listing = ",\n".join(json.dumps(sample, ensure_ascii=False) for sample in samples)
    Path(args.samples).write_text(f"[\n{listing}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
