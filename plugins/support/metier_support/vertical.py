"""The vertical `support` put together: tasks, data adapters, recipes, fine-tunes, checks and samples as one object."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml

from metier.contracts import Recipe, SampleSet, Vertical, fine_tunes_in
from metier_support.checks import CHECKS
from metier_support.reading import ADAPTERS
from metier_support.tasks import TASKS

_HERE = Path(__file__).parent


def _recipe(path: Path) -> Recipe:
    return Recipe.parse(yaml.safe_load(path.read_text(encoding="utf-8")), where=str(path))


@cache
def vertical() -> Vertical:
    """The trade of e-commerce customer service."""
    samples = _HERE / "samples"
    short = {task.name: task.name.split(".")[1] for task in TASKS}
    return Vertical(
        name="support",
        title="E-commerce customer service",
        description="Answers that stand on the shop's policy and the order; intents, entities, listings and reviews.",
        version="0.1.0",
        sdk=">=0.1,<0.2",
        tasks=TASKS,
        data_adapters=ADAPTERS,
        recipes={
            name: _recipe(_HERE / "recipes" / f"{file}.yaml") for name, file in {**short, "support": "support"}.items()
        },
        fine_tunes=fine_tunes_in(_HERE / "fine_tunes"),
        checks=CHECKS,
        samples={
            name: SampleSet(
                train=samples / f"{file}.train.jsonl",
                held_out=samples / f"{file}.heldout.jsonl",
                statement=samples / "README.md",
                licence="CC0-1.0",
            )
            for name, file in short.items()
        },
    )
