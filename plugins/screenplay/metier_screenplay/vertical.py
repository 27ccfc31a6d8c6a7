"""The vertical `screenplay` put together: tasks, data adapters, recipes, fine-tunes, checks, samples."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml
from pydantic import ValidationError

from metier.contracts import FineTune, FineTuneCard, PluginError, Recipe, SampleSet, Vertical
from metier_screenplay.checks import CHECKS
from metier_screenplay.reading import ADAPTERS
from metier_screenplay.tasks import TASKS

_HERE = Path(__file__).parent


def fine_tunes_in(folder: Path) -> tuple[FineTune, ...]:
    """Fine-tunes of a folder, one subfolder each as `metier adapt` writes it, by name.

    Raises:
        PluginError: a card cannot be read.
    """
    found = []
    for card in sorted(folder.glob("*/card.json")):
        try:
            found.append(FineTune(path=card.parent, card=FineTuneCard.model_validate_json(card.read_bytes())))
        except ValidationError as error:
            raise PluginError(
                f"its card is not valid: {error.errors()[0]['msg']}",
                where=str(card),
                remedy="copy the whole folder of a finished `metier adapt` run",
            ) from error
    return tuple(found)


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
        recipes={name: _recipe(file) for name, file in short.items()},
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
