"""Seconds from 64 new samples to a verified adapter that answers in a running engine, step by step.

    python tests/benchmarks/iterate.py --json

Before the clock starts, in a process of its own: a champion is adapted on the packaged advertising samples but 64, a
bundle with slots is exported, the champion is measured, and a full run on all samples is made for comparison. Then an
engine opens, the 64 come in as users' edits, and one iteration is run by a process that has not loaded torch
yet. --work keeps the output of the first part, so that the measurement can be repeated.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from slot_bundles import machine

from metier.contracts import Answer, FeedbackEvent, Sample, TaskContract
from metier.contracts.vertical import Vertical
from metier.data.split import select
from metier.data.training import first_inputs, training_data
from metier.feedback import FeedbackStore
from metier.iterate import IterationSettings, LiveEngine, Registry, run_iteration
from metier.iterate.judge import Measured
from metier.iterate.training_set import recipe_of
from metier.metrics.bootstrap import interval, resample_weights
from metier.metrics.results import Interval
from metier.plugins import load_plugins
from metier.runtime import Engine

TASK, NEW, INPUTS = "adcopy.describe", 64, 61
GOAL = 90
"""Seconds, on two cores, with quality inside the interval of the full run."""
SHARED = ("benchmark", "when", "machine", "versions", "command", "cores", "goal_seconds", "precision")
"""What all runs of a result have in common."""


def data() -> tuple[Vertical, TaskContract, list[Sample], list[Sample], list[Sample]]:
    """Trade, task, training samples of the champion, the 64 that come in later, held-out samples."""
    vertical, task = load_plugins().task(TASK)
    found = training_data(vertical, task)
    order = select(found.train, len(found.train), 1)
    return vertical, task, order[NEW:], order[:NEW], first_inputs(found.held_out, INPUTS)


def prepare(work: Path, precision: str, overrides: list[str], full: bool) -> None:
    """Champion, bundle, its measurement, and, where requested, the full run."""
    from metier.adapt import adapt
    from metier.bases import load_finetune, resolve
    from metier.export import export_slots
    from metier.iterate.judge import Judge
    from metier.training import recipe_for

    vertical, task, old, new, held_out = data()
    recipe = recipe_for(vertical, TASK, overrides=overrides)
    base = resolve(recipe.base)
    champion = adapt(task, old, held_out, recipe, work / "champion", base=base)
    if full:
        adapt(task, [*old, *new], held_out, recipe, work / "full", base=base)
    if not (work / "bundle").is_dir():
        export_slots([champion], work / "bundle", names=["describe"], precision=precision, base=base)
    if not (work / "registry").is_dir():
        Registry.create(work / "registry", champion)
    registry = Registry(work / "registry")
    with Engine(work / "bundle", device="cpu") as engine:
        judge = Judge(engine, task, registry.held_out(), base, checks=vertical.checks_for(TASK), cache=work / "cache")
        for name in ("champion", "full")[: 1 + full]:
            judge.measure(load_finetune(work / name), f"{TASK}.{name}", lambda *_, **__: None)


class Clock:
    """Seconds of each stage that the iteration reports."""

    def __init__(self) -> None:
        self.begun = self.last = time.perf_counter()
        self.stage, self.seconds = "collect", {}

    def __call__(self, what: str, *_: Any, **__: Any) -> None:
        stage = "answers of the challenger" if what.startswith("answers of") else what
        if stage != self.stage:
            self.close()
            self.stage = stage

    def close(self) -> float:
        now = time.perf_counter()
        self.seconds[self.stage] = round(self.seconds.get(self.stage, 0) + now - self.last, 2)
        self.last = now
        return round(now - self.begun, 2)


def measured(work: Path, settings: IterationSettings) -> dict[str, Any]:
    """One timed iteration on a copy of the prepared folders."""
    import shutil

    vertical, _, _, new, held_out = data()
    checks = vertical.checks_for(TASK)
    with tempfile.TemporaryDirectory() as folder, Engine(work / "bundle", device="cpu") as engine:
        shutil.copytree(work / "registry", Path(folder) / "registry")
        shutil.copytree(work / "cache", Path(folder) / "registry" / "measured")
        registry = Registry(Path(folder) / "registry")
        store = FeedbackStore(Path(folder) / "feedback.db")
        live = LiveEngine(engine, registry, store, checks=checks)
        live.answer(held_out[0].input)
        assert "torch" not in sys.modules
        for sample in new:
            answer = Answer(task=TASK, input=sample.input, output={"text": "…"}, consent=True)
            store.add(answer, FeedbackEvent(answer=answer.id, kind="edited", edited_to=sample.output))
        clock = Clock()
        result = run_iteration(registry, store, engine, settings=settings, checks=checks, progress=clock)
        clock("first answer of the new champion")
        answer = live.answer(held_out[0].input)
        seconds = clock.close()
        comparison = result.comparison
        assert comparison is not None and result.verdict is not None
        report = {
            "seconds": seconds,
            "steps": clock.seconds,
            "outcome": result.outcome,
            "version": result.version,
            "answered_by": answer.adapter,
            "recipe": recipe_of(registry.finetune("v0001"), settings).model_dump(mode="json"),
            "new_samples": len(result.feedback.samples),
            "left_out": result.feedback.counts(),
            "replayed": result.replayed,
            "loss": comparison.loss,
            "loss_difference": comparison.loss_difference.model_dump(),
            "metrics": {
                m.name: {k: v.model_dump() for k, v in m.values.items()}
                for m in comparison.metrics
                if m.unit != "count"
            },
            "general_perplexity": comparison.general,
            "milliseconds": comparison.milliseconds,
            "criteria": [c.model_dump() for c in result.verdict.criteria],
        }
        there = (work / "full" / "card.json").is_file()
        return {**report, "full_run": full_run(work, registry, engine, result.version) if there else None}


def full_run(work: Path, registry: Registry, engine: Engine, version: str | None) -> dict[str, Any]:
    """The iteration's result against the run on all samples from the base, on the same inputs; outside the clock."""
    from metier.bases import load_finetune, resolve
    from metier.iterate.judge import Judge

    vertical, task, *_ = data()
    full = load_finetune(work / "full")
    base = resolve(full.card.base.id, revision=full.card.base.revision)
    cache = registry.folder / "measured"
    judge = Judge(engine, task, registry.held_out(), base, checks=vertical.checks_for(TASK), cache=cache)
    tuned = registry.finetune(version) if version else load_finetune(registry.folder / "work" / "run")
    names = f"{TASK}.full", f"{TASK}.made"
    before, after = (judge.measure(f, n, lambda *_, **__: None) for f, n in zip((full, tuned), names, strict=True))
    found = judge.compare(before, after, names)
    return {
        "training_seconds": full.card.training["seconds"],
        "samples": full.card.data.samples,
        "loss": _loss(before).model_dump(),
        "turn_loss": _loss(after).model_dump(),
        "turn_less_full": found.loss_difference.model_dump(),
        "metrics": {
            m.name: {
                "full": (full_value := m.values["champion"]).model_dump(),
                "turn": m.values["challenger"].model_dump(),
                "inside": full_value.low <= m.values["challenger"].value <= full_value.high,
                "turn_less_full": m.differences[0].interval.model_dump(),
            }
            for m in found.metrics
            if m.kind == "task"
        },
    }


def _loss(of: Measured) -> Interval:
    """Nats per reply token, with the interval over held-out samples that says how far this one run's figure can be
    trusted; the difference of two runs on the same samples is surer."""
    weights = resample_weights(len(of.nats), 2000, 0)
    return interval((weights @ np.array(of.nats)) / (weights @ np.array(of.tokens)))


def keep(path: Path, found: dict[str, Any]) -> None:
    """Write a run into a result, in place of one with the same settings."""
    run = {key: found.pop(key) for key in list(found) if key not in SHARED}
    runs = json.loads(path.read_text("utf-8"))["runs"] if path.is_file() else []
    runs = [known for known in runs if known["settings"] != run["settings"]]
    runs = sorted([*runs, run], key=lambda run: run["seconds"])
    path.write_text(json.dumps({**found, "runs": runs}, indent=1) + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--into", type=Path, metavar="FILE", help="a result that the run is added to")
    parser.add_argument("--work", type=Path, help="keep the prepared folders, or use those of an earlier run")
    parser.add_argument("--precision", default="int4")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="of IterationSettings, such as epochs=1"
    )
    parser.add_argument("--prepare", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("recipe", nargs="*", metavar="KEY=VALUE", help="of the champion's recipe, such as base=./mine")
    parser.add_argument("--no-full", dest="full", action="store_false", help="leave the full run out")
    options = parser.parse_intermixed_args()
    if options.prepare:
        return prepare(options.work, options.precision, options.recipe, options.full)
    with tempfile.TemporaryDirectory() as folder:
        work = options.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        again = [sys.executable, __file__, "--prepare", "--work", str(work), "--precision", options.precision]
        again += [*options.recipe, *([] if options.full else ["--no-full"])]
        subprocess.run(again, check=True, stdout=sys.stderr)
        settings = IterationSettings.model_validate(dict(pair.split("=") for pair in options.set))
        found = {
            "benchmark": "iterate",
            **machine("onnxruntime-gpu", "onnxruntime", "torch", "transformers", "peft", "numpy"),
            "command": "python tests/benchmarks/iterate.py --json",
            "cores": os.cpu_count(),
            "goal_seconds": GOAL,
            "precision": options.precision,
            "set": options.set,
            "settings": settings.model_dump(),
        }
        found |= measured(work, settings)
    if options.into:
        keep(options.into, dict(found))
    if options.json:
        return print(json.dumps(found, indent=1))
    for step, seconds in found["steps"].items():
        print(f"{seconds:6.1f} s  {seconds / found['seconds']:4.0%}  {step}")
    return print(f"{found['seconds']:6.1f} s        {found['outcome']}: {found['loss_difference']}")


if __name__ == "__main__":
    main()
