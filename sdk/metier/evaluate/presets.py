"""Ways by name, `way/method/layers`, and the recipe each stands for: what `metier compare` puts side by side."""

from __future__ import annotations

from typing import Any

from metier.contracts import Recipe, RecipeError

WAYS = ("text/lora", "head/features", "head/features/mix", "head/lora", "head/full/top:2", "head/full")
"""Those that are compared unless others are named; the first needs a base that writes."""

_SETTINGS: dict[str, dict[str, Any]] = {
    "text/lora": {},
    "text/full": {"learning_rate": 2e-4},
    "head/features": {},
    "head/lora": {"epochs": 4, "batch_size": 32, "learning_rate": 1e-3},
    "head/full": {"epochs": 4, "batch_size": 32, "learning_rate": 2e-4},
}
"""What each method is trained with unless the user's own recipe has the same way and method."""


def way_of(name: str, recipe: Recipe) -> Recipe:
    """The recipe of a way.

    Args:
        name: `way/method` or `way/method/layers`, such as `head/full/top:2`.
        recipe: base, seed, LoRA, head and lengths are taken from it, and where way and method are its own all the rest.

    Raises:
        RecipeError: there is no such way, or its parts do not go together.
    """
    way, _, rest = name.partition("/")
    method, _, layers = rest.partition("/")
    if f"{way}/{method}" not in _SETTINGS:
        raise RecipeError(
            f"there is no way {name}",
            remedy=f"name one of {', '.join(_SETTINGS)}, and after another / the layers, such as top:2 or mix",
        )
    own = (recipe.way, recipe.method) == (way, method)
    changed = {"way": way, "method": method, "layers": layers or "all", **({} if own else _SETTINGS[f"{way}/{method}"])}
    return Recipe.parse({**recipe.model_dump(mode="json"), **changed}, where=name)
