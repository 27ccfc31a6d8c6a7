"""Recipes as YAML files, with single values overridden from a command line; the model itself checks them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from metier.contracts import Recipe, RecipeError, Vertical
from metier.disk import write_atomic


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a YAML file.

    Args:
        path: YAML, a mapping at its top.
        overrides: `key=value` each, dots for nested keys (`lora.rank=8`), values in YAML.

    Raises:
        RecipeError: the file cannot be read, is no mapping, or a key or value is wrong; with line where YAML knows it.
    """
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise RecipeError(
            f"the recipe cannot be read: {error.strerror}", where=str(path), remedy="check the path"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        raise RecipeError(
            f"not valid YAML: {getattr(error, 'problem', error)}",
            where=f"{path}:{mark.line + 1}" if mark else str(path),
            remedy="write one `key: value` a line",
        ) from error
    if not isinstance(values, dict | None):
        raise RecipeError("a recipe is a mapping of keys to values", where=str(path), remedy="write `key: value` lines")
    return Recipe.parse(_overridden(values or {}, overrides), where=str(path))


def override(recipe: Recipe, overrides: Sequence[str]) -> Recipe:
    """`recipe` with `key=value` overrides, validated again.

    Raises:
        RecipeError: a key or value is wrong.
    """
    return Recipe.parse(_overridden(recipe.model_dump(mode="json"), overrides))


def recipe_for(vertical: Vertical, name: str, path: Path | None = None, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe to adapt a task with: the file's where one is given, else the vertical's own, else the default.

    Args:
        vertical: whose recipes there are.
        name: of the task, or of the vertical for several of its tasks at once.
        path: YAML.
        overrides: `key=value` each.

    Raises:
        RecipeError: a key or value is wrong.
    """
    if path is not None:
        return read_recipe(path, overrides)
    return override(vertical.recipes.get(name, Recipe()), overrides)


def write_recipe(path: Path, recipe: Recipe) -> None:
    """Write `recipe` as YAML, every key spelt out, whole or not at all."""
    write_atomic(path, yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True))


def _overridden(values: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals:
            raise RecipeError(f"{text!r} is no override", remedy="write key=value, such as lora.rank=8")
        *parents, name = key.strip().split(".")
        place = values
        for parent in parents:
            inner = place.get(parent, {})
            if not isinstance(inner, dict):
                raise RecipeError(f"{parent} in {text!r} has no keys of its own", remedy="write key=value")
            place[parent] = place = dict(inner)
        try:
            place[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise RecipeError(f"the value in {text!r} is not valid YAML", remedy="quote it") from error
    return values
