"""The vertical `adcopy` put together: tasks, data adapters, recipes, fine-tunes, checks and samples as one object."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml

from metier.contracts import Recipe, SampleSet, Vertical, fine_tunes_in
from metier_adcopy.checks import CHECKS
from metier_adcopy.reading import ADAPTERS
from metier_adcopy.tasks import TASKS

_HERE = Path(__file__).parent


def _recipe(name: str) -> Recipe:
    path = _HERE / "recipes" / f"{name}.yaml"
    return Recipe.parse(yaml.safe_load(path.read_text(encoding="utf-8")), where=str(path))


def _samples(name: str) -> SampleSet:
    folder = _HERE / "samples"
    train, held_out = folder / f"{name}.train.jsonl", folder / f"{name}.heldout.jsonl"
    return SampleSet(train=train, held_out=held_out, statement=folder / "README.md", licence="CC0-1.0")


@cache
def vertical() -> Vertical:
    """The trade of advertising copy."""
    short = {task.name: task.name.split(".")[1] for task in TASKS}
    return Vertical(
        name="adcopy",
        title="Advertising copy",
        description="Product facts in; copy, search ads and presenters' lines out that add nothing and keep the rules.",
        version="0.1.0",
        sdk=">=0.1,<0.2",
        tasks=TASKS,
        data_adapters=ADAPTERS,
        recipes={name: _recipe(file) for name, file in {**short, "adcopy": "adcopy"}.items()},
        fine_tunes=fine_tunes_in(_HERE / "fine_tunes"),
        checks=CHECKS,
        samples={name: _samples(file) for name, file in short.items()},
    )
