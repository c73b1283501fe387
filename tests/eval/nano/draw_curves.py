"""Draws the training curves of a checkpoint as an SVG file.

    python draw_curves.py --work DIR --svg FILE
"""

import argparse
import math
from pathlib import Path

import torch

WIDTH, PANEL_HEIGHT, LEFT, RIGHT, TOP, GAP = 720, 200, 62, 20, 36, 56
INK, GRID = "#444", "#ddd"


def nice_ticks(low, high, logarithmic):
    if logarithmic:
        steps = [10**e * m for e in range(-4, 2) for m in (1, 2, 5)]
        return [s for s in steps if low <= s <= high]
    return [low + (high - low) * i / 5 for i in range(6)]


class Panel:
    def __init__(self, row, title, last_epoch, low, high, logarithmic):
        self.top = TOP + row * (PANEL_HEIGHT + GAP)
        self.last_epoch, self.low, self.high = last_epoch, low, high
        self.logarithmic = logarithmic
        self.parts = [self._text(LEFT, self.top - 10, title, "start", 14)]
        for tick in nice_ticks(low, high, logarithmic):
            y = self.y(tick)
            self.parts.append(self._line(LEFT, y, WIDTH - RIGHT, y))
            self.parts.append(self._text(LEFT - 8, y + 4, f"{tick:.3g}", "end", 11))
        for epoch in range(0, last_epoch + 1, max(1, last_epoch // 8)):
            base = self.top + PANEL_HEIGHT + 16
            self.parts.append(self._text(self.x(epoch), base, str(epoch), "middle", 11))

    @staticmethod
    def _text(x, y, words, anchor, size):
        return (
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" '
            f'font-size="{size}" fill="{INK}">{words}</text>'
        )

    @staticmethod
    def _line(x1, y1, x2, y2):
        return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{GRID}"/>'

    def x(self, epoch):
        return LEFT + (WIDTH - LEFT - RIGHT) * epoch / self.last_epoch

    def y(self, value):
        value = min(max(value, self.low), self.high)
        if self.logarithmic:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.top + PANEL_HEIGHT * (1 - share)

    def curve(self, points, label, colour, order):
        path = "L".join(f"{self.x(e):.1f} {self.y(v):.1f}" for e, v in points)
        self.parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        x = WIDTH - RIGHT - 190
        y = self.top + 18 + 18 * order if self.logarithmic else self.top + PANEL_HEIGHT - 14
        self.parts.append(f'<path d="M{x} {y - 4}h22" stroke="{colour}" stroke-width="2"/>')
        self.parts.append(self._text(x + 28, y, label, "start", 12))


def series(history, key):
    return [(entry["epoch"], entry[key]) for entry in history if key in entry]


def draw(history):
    last = history[-1]["epoch"]
    losses = Panel(0, "Loss per answer token (log scale)", last, 0.005, 5.0, True)
    losses.curve(series(history, "train_loss"), "training (augmented)", "#b5532a", 0)
    losses.curve(series(history, "dev_loss"), "dev, averaged weights", "#20639b", 1)
    losses.curve(series(history, "tag_loss"), "slot tags, training only", "#8a8a8a", 2)
    exact = Panel(1, "Dev answers exactly right, averaged weights", last, 0.0, 1.0, False)
    exact.curve(series(history, "dev_exact"), "exact match", "#20639b", 0)
    height = exact.top + PANEL_HEIGHT + 44
    caption = Panel._text(WIDTH / 2, height - 8, "epoch", "middle", 12)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif"><title>Training curves of eyas-nano</title>'
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>\n'
        + "\n".join(losses.parts + exact.parts + [caption])
        + "\n</svg>\n"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", required=True, help="folder with the checkpoint")
    parser.add_argument("--svg", required=True)
    args = parser.parse_args()
    saved = torch.load(Path(args.work) / "checkpoint.pt", weights_only=True)
    Path(args.svg).write_text(draw(saved["history"]), encoding="utf-8")


if __name__ == "__main__":
    main()
