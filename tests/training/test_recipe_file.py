"""Recipes as files: read, overridden, written; every mistake named with its place."""

from pathlib import Path

import pytest

from metier.contracts import Recipe, RecipeError
from metier.training import override, read_recipe, write_recipe


def test_a_recipe_written_and_read_is_the_same(tmp_path: Path) -> None:
    recipe = Recipe(lora={"rank": 8, "targets": ["q_proj", "v_proj"]}, layers="top:4", patience=2)
    write_recipe(tmp_path / "r.yaml", recipe)
    assert read_recipe(tmp_path / "r.yaml") == recipe


def test_overrides_reach_nested_keys_and_are_checked(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("epochs: 3\nlora:\n  rank: 8\n")
    recipe = read_recipe(tmp_path / "r.yaml", ["lora.alpha=12", "seed=7", "patience=null"])
    assert (recipe.epochs, recipe.lora.rank, recipe.lora.alpha, recipe.seed) == (3, 8, 12, 7)
    assert override(recipe, ["lora.rank=4"]).lora.alpha == 12
    with pytest.raises(RecipeError, match="write key=value"):
        override(recipe, ["seed"])
    with pytest.raises(RecipeError, match="has no keys of its own"):
        override(recipe, ["seed.x=1"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rat: 1", r"r\.yaml: unknown key learning_rat, did you mean learning_rate\?"),
        ("lora:\n  rnk: 4", r"r\.yaml: unknown key lora\.rnk, did you mean lora\.rank\?"),
        ("epochs: 2\nlora: [1", r"r\.yaml:2"),
        ("- a", r"r\.yaml: a recipe is a mapping"),
        ("layers: bottom:3", r"must be 'all' or 'top:N'"),
    ],
)
def test_the_error_for_a_wrong_recipe_names_the_place_and_the_fault(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(RecipeError, match=message):
        read_recipe(tmp_path / "r.yaml")


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none\.yaml: the recipe cannot be read: No such file"):
        read_recipe(tmp_path / "none.yaml")
