"""The table of methods, and `method_of`, the only place that chooses between them."""

from __future__ import annotations

from metier.adapt.head_method import HeadMethod
from metier.adapt.method import Method
from metier.adapt.text_method import TextMethod
from metier.contracts import Recipe
from metier.contracts.recipe import Produces

METHODS: dict[Produces, Method] = {"text": TextMethod(), "head": HeadMethod()}
"""What a recipe produces → the method that adapts, exports and predicts it."""


def method_of(recipe: Recipe) -> Method:
    """The method of a recipe, by what it produces."""
    return METHODS[recipe.produces]


def is_adapter(recipe: Recipe) -> bool:
    """Whether its weights are a LoRA adapter for generated text, which a bundle's slots take beside the base."""
    return method_of(recipe).generates and is_live(recipe)


def is_live(recipe: Recipe) -> bool:
    """Whether a running engine takes the weights of this recipe without an export."""
    return recipe.method in method_of(recipe).live_methods
