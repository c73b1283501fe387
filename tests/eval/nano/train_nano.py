"""Trains eyas-nano on the SNIPS utterances and writes checkpoints.

    OMP_WAIT_POLICY=PASSIVE python train_nano.py --data DIR --work DIR

The learning rate warms up, stays constant, and falls linearly to zero over the
last part of the run; augmentation weakens over the same part. Every epoch draws
from its own seed, so a resumed run repeats an unbroken one.
"""

import argparse
import json
import random
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from nano_batches import BatchMaker, IGNORED
from nano_model import NanoModel, NanoShape
from nano_tokenizer import train_tokenizer
from snips_augment import Augmenter
from snips_data import load_split

VOCAB_SIZE = 1536
TAG_LAYER = 3
ECHO_WEIGHT, TAG_WEIGHT = 0.1, 0.5
WARMUP_STEPS = 150
EMA_DECAY = 0.997
WEAKEST_AUGMENTATION = 0.3
KNOWN_NAMES_SHARE = 0.4


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of train_*_full.json")
    parser.add_argument("--work", required=True, help="folder for checkpoints")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--until", type=int, help="stop after this epoch, to be resumed")
    parser.add_argument("--decay-share", type=float, default=0.6)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--known-names-from", type=int, default=1, help="first epoch to use them")
    parser.add_argument("--check-every", type=int, default=2, help="epochs between dev checks")
    parser.add_argument("--resume", action="store_true")
    return parser.parse_args()


def fading(progress, decay_share):
    """1 until the decay begins, then a straight line to 0."""
    return min(1.0, (1.0 - progress) / decay_share)


def make_optimizers(model, rate):
    matrices = [p for n, p in model.layers.named_parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    muon = torch.optim.Muon(matrices, lr=rate, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    adam = torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
    return [muon, adam]


def batch_loss(model, batch, rng):
    ids, labels, tags, echo = batch
    spared = torch.from_numpy(rng.random(len(ids)) < 0.5)[:, None]
    labels = labels.masked_fill(echo & spared, IGNORED)
    wanted = labels != IGNORED
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits, tag_logits = model(ids, wanted)
    losses = F.cross_entropy(logits.float(), labels[wanted], reduction="none")
    is_echo = echo[wanted]
    answer = losses[~is_echo].mean()
    total = answer + ECHO_WEIGHT * losses[is_echo].sum() / max(1, int(is_echo.sum()))
    tagged = tags != IGNORED
    tagging = F.cross_entropy(tag_logits[tagged].float(), tags[tagged])
    return total + TAG_WEIGHT * tagging, answer.item(), tagging.item()


@torch.no_grad()
def check(model, maker, examples):
    """Teacher-forced loss per answer token, and the share of answers whose every
    token is the most likely one (which is the greedy exact-match rate)."""
    model.eval()
    loss_sum, token_count, exact = 0.0, 0, 0
    ordered = sorted(examples, key=lambda e: len(e[0]))
    for start in range(0, len(ordered), 64):
        ids, labels, _, echo = maker.pad(ordered[start : start + 64])
        labels = labels.masked_fill(echo, IGNORED)
        wanted = labels != IGNORED
        logits, _ = model(ids, wanted)
        loss_sum += F.cross_entropy(logits, labels[wanted], reduction="sum").item()
        token_count += int(wanted.sum())
        right = torch.ones_like(wanted)
        right[wanted] = logits.argmax(-1) == labels[wanted]
        exact += int(right.all(dim=1).sum())
    model.train()
    return loss_sum / token_count, exact / len(examples)


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    work = Path(args.work)
    work.mkdir(parents=True, exist_ok=True)

    train, dev = load_split(args.data)
    tokenizer = train_tokenizer(train, VOCAB_SIZE)
    tokenizer.save(str(work / "tokenizer.json"))
    shape = NanoShape(VOCAB_SIZE)
    slot_names = {name for u in train for name, _ in u.slots}
    maker = BatchMaker(tokenizer, slot_names, shape.max_positions)
    dev_examples = maker.examples(dev)
    model = NanoModel(shape, maker.tag_count, TAG_LAYER, args.dropout)
    averaged = {n: p.detach().clone() for n, p in model.named_parameters()}
    optimizers = make_optimizers(model, args.rate)
    steps_per_epoch = -(-len(train) // args.batch)
    total_steps = steps_per_epoch * args.epochs
    history, step, first_epoch = [], 0, 0

    checkpoint = work / "checkpoint.pt"
    if args.resume:
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        averaged = saved["averaged"]
        for optimizer, state in zip(optimizers, saved["optimizers"]):
            optimizer.load_state_dict(state)
        history, step, first_epoch = saved["history"], saved["step"], saved["epoch"]

    model.train()
    for epoch in range(first_epoch, args.until or args.epochs):
        started = time.time()
        rng = np.random.default_rng([args.seed, epoch])
        model.noise = np.random.default_rng([args.seed, epoch, 1])
        strength = max(WEAKEST_AUGMENTATION, fading(epoch / args.epochs, args.decay_share))
        known_share = KNOWN_NAMES_SHARE if epoch + 1 >= args.known_names_from else 0.0
        augmenter = Augmenter(train, random.Random(f"{args.seed}-{epoch}"), known_share)
        examples = maker.examples([augmenter.vary(u, strength) for u in train])
        sums, count = np.zeros(2), 0
        for batch in maker.batches(examples, args.batch, rng):
            scale = min(1.0, (step + 1) / WARMUP_STEPS)
            scale *= max(0.0, fading(step / total_steps, args.decay_share))
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = args.rate * scale
            loss, answer_loss, tag_loss = batch_loss(model, batch, rng)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            step += 1
            keep = min(EMA_DECAY, step / (step + 20))
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    averaged[name].lerp_(parameter, 1.0 - keep)
            sums += (answer_loss, tag_loss)
            count += 1
            if count % 50 == 0:
                pace = (time.time() - started) / count
                means = f"answer {sums[0] / count:.4f} tags {sums[1] / count:.4f}"
                print(f"  step {step} {means} {pace:.2f} s/step", flush=True)
        entry = {
            "epoch": epoch + 1,
            "train_loss": round(float(sums[0] / count), 5),
            "tag_loss": round(float(sums[1] / count), 5),
            "rate": args.rate * scale,
            "seconds": round(time.time() - started, 1),
        }
        if (epoch + 1) % args.check_every == 0 or epoch + 1 == args.epochs:
            current = {n: p.detach().clone() for n, p in model.named_parameters()}
            model.load_state_dict(averaged)
            loss, exact = check(model, maker, dev_examples)
            model.load_state_dict(current)
            entry |= {"dev_loss": round(loss, 5), "dev_exact": round(exact, 5)}
        history.append(entry)
        print(json.dumps(entry), flush=True)
        torch.save(
            {
                "model": model.state_dict(),
                "averaged": averaged,
                "optimizers": [optimizer.state_dict() for optimizer in optimizers],
                "history": history,
                "step": step,
                "epoch": epoch + 1,
                "settings": vars(args) | {"data": "", "work": ""},
            },
            work / "checkpoint.part",
        )
        (work / "checkpoint.part").replace(checkpoint)


if __name__ == "__main__":
    main()
