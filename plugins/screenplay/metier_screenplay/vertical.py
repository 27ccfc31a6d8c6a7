"""The vertical `screenplay` put together: tasks, data adapters, recipes, fine-tunes, checks, samples."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml

from metier.contracts import Recipe, SampleSet, Vertical, fine_tunes_in
from metier_screenplay.checks import CHECKS
from metier_screenplay.reading import ADAPTERS
from metier_screenplay.tasks import TASKS

_HERE = Path(__file__).parent


def _recipe(name: str) -> Recipe:
    path = _HERE / "recipes" / f"{name}.yaml"
    return Recipe.parse(yaml.safe_load(path.read_text(encoding="utf-8")), where=str(path))


@cache
def vertical() -> Vertical:
    """The trade of writing for film."""
    samples = _HERE / "samples"
    short = {task.name: task.name.partition(".")[2] for task in TASKS}
    return Vertical(
        name="screenplay",
        title="Screenwriting",
        description="Scenes in Fountain, lines rewritten to a note, and branching stories without dead ends.",
        version="0.1.0",
        sdk=">=0.1,<0.2",
        tasks=TASKS,
        data_adapters=ADAPTERS,
        recipes={name: _recipe(file) for name, file in {**short, "screenplay": "screenplay"}.items()},
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
