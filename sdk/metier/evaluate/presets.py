"""Recipes by name, `produces/method/layers`: what `metier compare` puts side by side."""

from __future__ import annotations

from typing import Any

from metier.contracts import Recipe, RecipeError

PRESETS = ("text/lora", "head/features", "head/features/mix", "head/lora", "head/full/top:2", "head/full")
"""Those that are compared unless others are named; `text` needs a base that generates."""

_SETTINGS: dict[str, dict[str, Any]] = {
    "text/lora": {},
    "text/full": {"learning_rate": 2e-4},
    "head/features": {},
    "head/lora": {"epochs": 4, "batch_size": 32, "learning_rate": 1e-3},
    "head/full": {"epochs": 4, "batch_size": 32, "learning_rate": 2e-4},
}
"""What each is trained with, unless the user's own recipe produces the same by the same method."""


def preset_recipe(name: str, recipe: Recipe) -> Recipe:
    """The recipe of a preset.

    Args:
        name: `produces/method` or `produces/method/layers`, such as `head/full/top:2`.
        recipe: base, seed, LoRA, head and lengths come from it; all other settings too, where it produces the same by
            the same method.

    Raises:
        RecipeError: there is no such preset, or its parts do not go together.
    """
    produces, _, rest = name.partition("/")
    method, _, layers = rest.partition("/")
    settings = _SETTINGS.get(f"{produces}/{method}")
    if settings is None:
        raise RecipeError(
            f"there is no preset {name}",
            remedy=f"name one of {', '.join(_SETTINGS)}, and after another / the layers, such as top:2 or mix",
        )
    if (recipe.produces, recipe.method) == (produces, method):
        settings = {}
    changed = {"produces": produces, "method": method, "layers": layers or "all", **settings}
    return Recipe.parse({**recipe.model_dump(mode="json"), **changed}, where=name)
