"""The vertical `adcopy` put together: tasks, data adapters, recipe, fine-tunes, checks and samples as one object."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml

from metier.contracts import Recipe, SampleSet, Vertical, fine_tunes_in
from metier_adcopy.checks import CHECKS
from metier_adcopy.reading import ADAPTERS
from metier_adcopy.task import DESCRIBE, describe

_HERE = Path(__file__).parent


@cache
def vertical() -> Vertical:
    """The trade of advertising copy."""
    recipe = _HERE / "recipes" / "describe.yaml"
    samples = _HERE / "samples"
    return Vertical(
        name="adcopy",
        title="Advertising copy",
        description="Product facts in; copy out that states every one of them, adds none, and keeps to the rules.",
        version="0.1.0",
        sdk=">=0.1,<0.2",
        tasks=(describe,),
        data_adapters=ADAPTERS,
        recipes={DESCRIBE: Recipe.parse(yaml.safe_load(recipe.read_text(encoding="utf-8")), where=str(recipe))},
        fine_tunes=fine_tunes_in(_HERE / "fine_tunes"),
        checks=CHECKS,
        samples={
            DESCRIBE: SampleSet(
                train=samples / "train.jsonl",
                held_out=samples / "heldout.jsonl",
                statement=samples / "README.md",
                licence="CC0-1.0",
            )
        },
    )
