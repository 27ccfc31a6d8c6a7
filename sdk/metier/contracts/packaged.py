"""A plugin's data files: folders of recipes, samples and fine-tunes, read by their file names."""

from pathlib import Path

from metier.contracts.errors import PluginError
from metier.contracts.finetune import CARD, FineTune
from metier.contracts.recipe import Recipe
from metier.contracts.vertical import SampleSet

_TRAIN, _HELD_OUT = ".train.jsonl", ".heldout.jsonl"


def fine_tunes_in(folder: Path) -> tuple[FineTune, ...]:
    """A plugin's fine-tunes: one subfolder each as `metier adapt` writes it, by name; none where there is no folder.

    Raises:
        PluginError: a card cannot be read.
    """
    return tuple(FineTune.packaged(card.parent) for card in sorted(folder.glob(f"*/{CARD}")))


def recipes_in(folder: Path, trade: str) -> dict[str, Recipe]:
    """A plugin's recipes: `line.yaml` adapts the task `trade.line`, `trade.yaml` all of the trade's tasks together.

    Raises:
        RecipeError: a recipe has an unknown field, or a value out of its bounds.
    """
    import yaml

    return {
        path.stem if path.stem == trade else f"{trade}.{path.stem}": Recipe.parse(
            yaml.safe_load(path.read_text(encoding="utf-8")), where=str(path)
        )
        for path in sorted(folder.glob("*.yaml"))
    }


def samples_in(folder: Path, trade: str, *, licence: str) -> dict[str, SampleSet]:
    """A plugin's samples: `line.train.jsonl` and `line.heldout.jsonl` are of the task `trade.line`.

    Args:
        folder: of the sample files; its README.md is their data statement.
        trade: the vertical's name.
        licence: SPDX identifier of all samples in the folder.

    Raises:
        PluginError: a training file has no held-out file beside it.
    """
    found = {}
    for train in sorted(folder.glob(f"*{_TRAIN}")):
        short = train.name.removesuffix(_TRAIN)
        held_out = folder / f"{short}{_HELD_OUT}"
        if not held_out.is_file():
            raise PluginError(
                "these samples have no held-out ones beside them",
                where=str(train),
                remedy=f"keep some samples apart in {held_out.name}; gains are measured on those",
            )
        statement = folder / "README.md"
        found[f"{trade}.{short}"] = SampleSet(train=train, held_out=held_out, statement=statement, licence=licence)
    return found
