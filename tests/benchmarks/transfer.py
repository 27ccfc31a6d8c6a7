"""How good each preset is, how long it takes and how large it gets: on intents, on entities, on copy.

    python tests/benchmarks/transfer.py --json --work runs/transfer

A line of `PLAN` is a task, a base, the presets compared on them, and how many seeds are measured. A seed draws samples
to learn from and samples to measure on: of banking77 (77 intents, CC BY 4.0, arXiv 2003.04807) 10 an intent and further
rows of its training file, of a trade's task a split of all that is packaged, near-duplicates on one side. Every preset
runs by `metier.evaluate.compare`, which lets nothing be chosen by held-out samples.

Times are one CPU core's (`OMP_NUM_THREADS=1`) with nothing else on it. `--device cuda`, and `--busy` beside other work,
are for more seeds of what takes minutes: their rows say so, and the docs take quality from all, times from the others.

What is in --work is not trained again, and with --minutes the script ends before it begins what may not fit, so that a
run may be done in pieces. `--only` names tasks, bases or presets, by any part of their names.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, create_model

ROOT = Path(__file__).resolve().parents[2]
DATA = next((p / "shared/data/banking77" for p in ROOT.parents if (p / "shared/data").is_dir()), ROOT / "banking77")
BANKING = "banking77"
ENCODER, DECODER = "all-minilm-l6-v2", "smollm2-135m"
SHOTS = 10


class Line(NamedTuple):
    """One block of the plan."""

    task: str
    base: str
    presets: tuple[str, ...]
    seeds: int
    held_out: int
    """Rows of each intent at most, for banking77; else inputs of the task."""


HEADS = ("head/features", "head/features/mix", "head/features/embedding", "head/features/top:2", "head/lora")
WHOLE = ("head/full", "head/full/top:2", "head/full/top:1", "head/lora/top:2")
COPY = ("text/lora", "text/lora/top:10", "text/lora/top:4", "text/full", "text/full/top:10", "text/full/embedding")
PLAN = (
    Line(BANKING, ENCODER, (*HEADS, *WHOLE), 5, 30),
    Line(BANKING, DECODER, ("head/features", "head/lora", "text/lora"), 5, 10),
    Line("support.intent", ENCODER, ("head/features", "head/lora", "head/full/top:2", "head/full"), 5, 60),
    Line("support.intent", DECODER, ("head/features", "head/lora", "text/lora"), 5, 60),
    Line("support.entities", ENCODER, ("head/features", "head/lora", "head/full/top:2", "head/full"), 5, 20),
    Line("support.entities", DECODER, ("head/features", "head/lora", "text/lora"), 5, 20),
    Line("adcopy.describe", DECODER, COPY, 5, 32),
)


class Query(BaseModel):
    """One message."""

    text: str


class Case(NamedTuple):
    """One cell of the table, for one seed."""

    line: Line
    preset: str
    seed: int

    @property
    def folder(self) -> str:
        name = f"{self.line.task}-{self.line.base}-{self.preset.replace('/', '-').replace(':', '')}"
        return f"{name}-{self.line.held_out or 'all'}-{self.seed}"


def banking(seed: int, held_out: int) -> tuple[Any, list[Any], list[Any]]:
    """The task, training and held-out samples: `SHOTS` and up to `held_out` of each intent."""
    from metier.contracts import Sample, TaskContract, TaskKind, prompt

    labels = json.loads((DATA / "categories.json").read_text("utf-8"))
    names: Any = Enum("Intent", {f"label_{n}": label for n, label in enumerate(labels)}, type=str)  # type: ignore[misc]
    task = TaskContract(
        name="banking.intent",
        kind=TaskKind.CLASSIFY,
        input=Query,
        output=create_model("Sorted", intent=(names, ...)),
        prompts={"en": prompt("{{ text }}", system="Name the customer's intent.")},
        reply="label",
        max_reply_tokens=16,
    )
    rows: dict[str, list[str]] = defaultdict(list)
    with (DATA / "train.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            rows[row["category"]].append(row["text"])
    rng = random.Random(seed)
    sides: tuple[list[Sample], list[Sample]] = ([], [])
    for label in sorted(rows):
        texts = rng.sample(rows[label], len(rows[label]))
        for side, part in zip(sides, (texts[:SHOTS], texts[SHOTS : SHOTS + held_out]), strict=True):
            side += [Sample(task=task.name, input={"text": t}, output={"intent": label}) for t in part]
    return task, *sides


def packaged_task(name: str, seed: int, held_out: int) -> tuple[Any, list[Any], list[Any], Any]:
    """A trade's task, training and held-out samples, and the recipe that its text preset has."""
    from metier.data.split import split
    from metier.data.training import packaged
    from metier.plugins import load_plugins

    vertical, task = load_plugins().task(name)
    parts = split([*packaged(vertical, task, "train"), *packaged(vertical, task, "held_out")], held_out, seed)
    return task, parts.train, parts.held_out, vertical.recipes[name]


def measured(case: Case, work: Path, device: str) -> dict[str, Any]:
    """Train one preset and run it on the held-out samples; return its row."""
    from metier.bases import resolve
    from metier.contracts import Recipe
    from metier.evaluate import compare

    line = case.line
    if line.task == BANKING:
        task, train, apart = banking(case.seed, line.held_out)
        recipe = Recipe(lora={"rank": 8, "alpha": 16}, epochs=4, max_length=256)
    else:
        task, train, apart, recipe = packaged_task(line.task, case.seed, line.held_out)
    recipe = recipe.model_copy(update={"base": line.base, "seed": case.seed})
    base, out = resolve(line.base), work / case.folder
    found = compare(task, train, apart, [case.preset], recipe, out, base=base, resamples=200, device=device)
    (figures,) = found.presets
    metric = found.metrics[0]
    values = {one.name: one.values[case.preset].value for one in found.metrics}
    return {
        **{"task": line.task, "base": line.base, "preset": case.preset, "seed": case.seed, "device": device},
        "metric": metric.name,
        "quality": metric.values[case.preset].value,
        "metrics": values,
        "samples": found.samples,
        "inputs": found.inputs,
        **{key: value for key, value in figures.model_dump().items() if key not in {"preset", "recipe"}},
    }


def cases(only: list[str], seeds: int) -> Iterator[Case]:
    """All there is to do, the first seed of everything first, so that a run cut short has a bit of all."""
    for seed in range(min(seeds, max(line.seeds for line in PLAN))):
        for line in PLAN:
            for preset in line.presets:
                if seed < line.seeds and all(any(p in name for name in (line.task, line.base, preset)) for p in only):
                    yield Case(line, preset, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--work", type=Path, default=ROOT / "runs/transfer")
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--seeds", type=int, default=5, help="of each preset, at most")
    parser.add_argument("--busy", action="store_true", help="the machine has other work: times are not to be shown")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    given = parser.parse_args()
    began, missing = time.monotonic(), 0
    slowest: dict[tuple[str, ...], float] = defaultdict(float)
    rows: list[dict[str, Any]] = []
    for case in cases(given.only, given.seeds):
        if case.line.task == BANKING and not DATA.is_dir():
            print(f"left out, since banking77 is not in {DATA}", file=sys.stderr)
            continue
        file = given.work / case.folder / "figures.json"
        if not file.is_file():
            # The same preset took so long with another seed; half a minute is a guess where nothing is known.
            expected = slowest[case.line.task, case.line.base, case.preset] or 30
            if time.monotonic() - began + expected > 60 * given.minutes:
                missing += 1
                continue
            started = time.monotonic()
            row = measured(case, given.work, given.device) | {"busy": given.busy}
            file.write_text(json.dumps({**row, "seconds": round(time.monotonic() - started, 1)}), "utf-8")
            print(file.read_text("utf-8"), file=sys.stderr, flush=True)
        rows.append(json.loads(file.read_text("utf-8")))
        key = case.line.task, case.line.base, case.preset
        slowest[key] = max(slowest[key], rows[-1]["seconds"])
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    report = {
        "benchmark": "transfer",
        "command": f"python tests/benchmarks/transfer.py --json --device {given.device}",
        "machine": _gpu() if given.device == "cuda" else f"{_processor()}, {threads} thread(s)",
        "versions": {name: version(name) for name in ("torch", "transformers", "peft")},
        "shots": SHOTS,
        "missing": missing,
        "runs": rows,
    }
    if given.json:
        print(json.dumps(report, indent=1))
        return
    for row in rows:
        print(
            "  ".join(str(row[key]) for key in ("task", "base", "preset", "seed", "metric", "quality", "epoch_seconds"))
        )


def _gpu() -> str:
    import torch

    return torch.cuda.get_device_name()


def _processor() -> str:
    try:
        names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        return names[0].partition(":")[2].strip()
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
