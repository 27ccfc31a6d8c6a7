"""How good each way of transfer is at 10 samples an intent, how long it takes and how large it gets: banking77's 77
intents (CC BY 4.0, arXiv 2003.04807), rows cut from its training file, several seeds. A seed draws samples and rows.

    python tests/benchmarks/transfer.py --json --data ../shared/data/banking77 --work runs/transfer

What is in --work already is not trained again, so that a run may be stopped and gone on with.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, create_model

from metier.bases import resolve
from metier.contracts import Recipe, Sample, TaskContract, TaskKind, prompt
from metier.transfer import adapt_head, load_head, way_of

DATA = next(
    (p / "shared/data/banking77" for p in Path(__file__).resolve().parents if (p / "shared/data").is_dir()), None
)
WAYS = ("head/features", "head/features/mix", "head/lora", "head/full/top:2", "head/full")


class Query(BaseModel):
    """One message."""

    text: str


def task_of(labels: list[str]) -> TaskContract:
    """The data set's own intents as a contract."""
    names: Any = Enum("Intent", {f"label_{n}": label for n, label in enumerate(labels)}, type=str)  # type: ignore[misc]
    return TaskContract(
        name="banking.intent",
        kind=TaskKind.CLASSIFY,
        input=Query,
        output=create_model("Sorted", intent=(names, ...)),
        prompts={"en": prompt("{{ text }}", system="Name the customer's intent.")},
        reply="label",
        max_reply_tokens=16,
    )


def drawn(rows: dict[str, list[str]], task: TaskContract, seed: int, shots: int, held_out: int) -> list[list[Sample]]:
    """Samples to learn from and samples to measure on: `shots` and up to `held_out` of each intent."""
    rng = random.Random(seed)
    sides: list[list[Sample]] = [[], []]
    for label in sorted(rows):
        texts = rng.sample(rows[label], len(rows[label]))
        for side, part in enumerate((texts[:shots], texts[shots : shots + held_out])):
            sides[side] += [Sample(task=task.name, input={"text": t}, output={"intent": label}) for t in part]
    return sides


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--base", default="all-minilm-l6-v2")
    parser.add_argument("--ways", nargs="+", default=list(WAYS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--shots", type=int, default=10)
    parser.add_argument("--held-out", type=int, default=30, help="rows of each intent; some have fewer left")
    parser.add_argument("--work", type=Path)
    given = parser.parse_args()
    if given.data is None or not given.data.is_dir():
        print(json.dumps({"skipped": "banking77 is not there: give its folder with --data"}))
        return
    labels = json.loads((given.data / "categories.json").read_text("utf-8"))
    rows: dict[str, list[str]] = defaultdict(list)
    with (given.data / "train.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            rows[row["category"]].append(row["text"])
    task, base = task_of(labels), resolve(given.base)
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch:
        work = given.work or Path(scratch)
        for seed in given.seeds:
            train, apart = drawn(rows, task, seed, given.shots, given.held_out)
            for way in given.ways:
                recipe = way_of(way, Recipe(base=given.base, seed=seed, lora={"rank": 8, "alpha": 16}))  # type: ignore[arg-type]
                out = work / f"{way.replace('/', '-').replace(':', '')}-{given.shots}-{seed}"
                tuned = adapt_head(task, train, (), recipe, out, base=base)
                headed = load_head(tuned.path, base=base)
                began = time.perf_counter()
                outputs = headed.predict([sample.input for sample in apart])
                seconds = time.perf_counter() - began
                costs = tuned.card.training
                found[way].append(
                    {
                        "seed": seed,
                        "accuracy": 100 * sum(o == s.output for o, s in zip(outputs, apart, strict=True)) / len(apart),
                        "rows": len(apart),
                        "training_seconds": costs["seconds"],
                        "epoch_seconds": costs["epoch_seconds"],
                        "answer_ms": 1000 * seconds / len(apart),
                        "megabytes": (tuned.path / "head.safetensors").stat().st_size / 1e6,
                    }
                )
                print(way, found[way][-1], file=sys.stderr, flush=True)
    told = {way: summed(runs) for way, runs in found.items()}
    if given.json:
        print(json.dumps({"base": given.base, "shots": given.shots, "ways": told, "runs": found}, indent=1))
        return
    for way, figures in told.items():
        print(f"{way:22} {figures['accuracy']:.1f} ± {figures['half_width']:.1f}  {figures}")


def summed(runs: list[dict[str, float]]) -> dict[str, float]:
    """Means over seeds, and half the width of the accuracy's 95% interval (Student's t over seeds)."""
    accuracy = [run["accuracy"] for run in runs]
    t = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}.get(len(runs), 1.96)
    half = t * statistics.stdev(accuracy) / math.sqrt(len(runs)) if len(runs) > 1 else 0.0
    means = {key: statistics.mean(run[key] for run in runs) for key in runs[0] if key != "seed"}
    return {**means, "half_width": half, "worst": min(accuracy), "seeds": len(runs)}


if __name__ == "__main__":
    main()
