"""Teaching a base a trade: LoRA fine-tuning from samples and a recipe. torch loads when it is used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import metier.bases.threads  # noqa: F401  before torch

if TYPE_CHECKING:
    from metier.adapt.display import progress_bar
    from metier.adapt.loop import Progress
    from metier.adapt.recipe_file import override, read_recipe, recipe_for, write_recipe
    from metier.adapt.sft import adapt

_HOME = {
    "Progress": "loop",
    "adapt": "sft",
    "override": "recipe_file",
    "progress_bar": "display",
    "read_recipe": "recipe_file",
    "recipe_for": "recipe_file",
    "write_recipe": "recipe_file",
}

__all__ = ["Progress", "adapt", "override", "progress_bar", "read_recipe", "recipe_for", "write_recipe"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'metier.adapt' has no attribute {name!r}")
    return getattr(import_module(f"metier.adapt.{_HOME[name]}"), name)
