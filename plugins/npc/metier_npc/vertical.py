"""The vertical `npc` put together: tasks, data adapters, recipes, fine-tunes, checks and samples as one object."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml

from metier.contracts import Recipe, SampleSet, Vertical, fine_tunes_in
from metier_npc.checks import CHECKS
from metier_npc.reading import ADAPTERS
from metier_npc.tasks import TASKS

_HERE = Path(__file__).parent


def _recipe(name: str) -> Recipe:
    path = _HERE / "recipes" / f"{name}.yaml"
    return Recipe.parse(yaml.safe_load(path.read_text(encoding="utf-8")), where=str(path))


@cache
def vertical() -> Vertical:
    """The trade of writing characters for games."""
    samples = _HERE / "samples"
    short = {task.name: task.name.partition(".")[2] for task in TASKS}
    return Vertical(
        name="npc",
        title="Game characters",
        description="Lines, barks and conversations in character, within the world, the bubble and what may be told.",
        version="0.1.0",
        sdk=">=0.1,<0.2",
        tasks=TASKS,
        data_adapters=ADAPTERS,
        recipes={name: _recipe(file) for name, file in {**short, "npc": "npc"}.items()},
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
