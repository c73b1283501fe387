"""Writes the task file of docs/routing.md: the dev split of SNIPS with its gold
answers, and the validation part of CLINC150 as input that eyas-nano was not made for
(its gold is null: whatever the model answers is not right).

    python make_tasks.py --snips DIR --clinc DIR --out FILE
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "nano"))

from snips_data import load_split  # noqa: E402


def clinc_inputs(folder):
    data = json.loads((Path(folder) / "data.json").read_text(encoding="utf-8"))
    for part in ("val", "oos_val"):
        yield from (text for text, _ in data[part])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--snips", "--clinc", "--out"):
        parser.add_argument(name, required=True)
    arguments = parser.parse_args()
    _, dev = load_split(arguments.snips)
    rows = [{"task": "snips", "input": u.text, "gold": u.target()} for u in dev]
    rows += [{"task": "clinc150", "input": text, "gold": None} for text in clinc_inputs(arguments.clinc)]
    with open(arguments.out, "w", encoding="utf-8") as out:
        out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    print(f"{len(dev)} of SNIPS, {len(rows) - len(dev)} of CLINC150")


if __name__ == "__main__":
    main()
