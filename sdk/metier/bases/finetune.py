"""A fine-tune's folder: opened only when its weights are what its card says, its card written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

from metier.bases.checksum import sha256_of
from metier.contracts.documents import read_document
from metier.contracts.errors import DataError, MetierError, RecipeError, UsageError
from metier.contracts.finetune import CARD, PEFT_CONFIG, WEIGHTS, FineTune, FineTuneCard
from metier.contracts.recipe import Produces, Recipe, layer_ranges, layers_named
from metier.disk import write_whole

_AGAIN = "adapt again, or copy the folder again"


def load_finetune(path: str | Path, *, produces: Produces | None = "text") -> FineTune:
    """The fine-tune in a folder, its weights verified against its card.

    Args:
        path: its folder.
        produces: what its recipe must produce; None takes either.

    Raises:
        UsageError: there is no fine-tune at that path, or it produces something else.
        DataError: the card does not parse or is of another schema version, or the weights are missing or not those
            of the card.
    """
    folder = Path(path).expanduser()
    if not (folder / CARD).is_file():
        unfinished = (folder / "checkpoint").is_dir()
        raise UsageError(
            "this adaptation has not finished" if unfinished else f"this is not a fine-tune: there is no {CARD}",
            where=str(folder),
            remedy="run the same `metier adapt` again to resume it"
            if unfinished
            else "give the --out of `metier adapt`",
        )
    card = read_document(FineTuneCard, folder / CARD, remedy=_AGAIN, name="the card of this fine-tune")
    if produces is not None and card.recipe.produces != produces:
        raise UsageError(
            f"{card.name} produces {card.recipe.produces}, and a fine-tune that produces {produces} is needed here",
            where=str(folder),
            remedy="export it, and run the bundle"
            if produces == "text"
            else "give one whose recipe says produces: head",
        )
    weights = card.weights
    for name in (WEIGHTS, PEFT_CONFIG) if weights == WEIGHTS else (weights,):
        if not (folder / name).is_file():
            raise _damaged(folder / name, "the file is missing")
    if weights == WEIGHTS:
        try:
            json.loads((folder / PEFT_CONFIG).read_text("utf-8"))
        except ValueError as error:
            raise _damaged(folder / PEFT_CONFIG, str(error)) from error
    if sha256_of(folder / weights) != card.weights_sha256:
        raise _damaged(folder / weights, "its sha256 is not the one in the card")
    return FineTune(path=folder, card=card)


def lora_recipe(finetune: FineTune) -> Recipe:
    """The card's recipe with all layers that its LoRA stands in: the last run may have taught some of them alone."""
    recipe = finetune.card.recipe
    if finetune.card.weights != WEIGHTS:
        return recipe
    has = json.loads((finetune.path / PEFT_CONFIG).read_text("utf-8")).get("layers_to_transform")
    if has is None:
        return recipe.model_copy(update={"layers": "all"})
    numbers = [index + 1 for index in ([has] if isinstance(has, int) else has)]
    if recipe.layers == f"top:{len(numbers)}":
        return recipe
    return recipe.model_copy(update={"layers": layer_ranges(numbers)})


def check_goes_on(start: FineTune, recipe: Recipe, count: int) -> None:
    """Raise RecipeError unless a recipe's LoRA is that of a fine-tune, in layers that it has; the base has `count`."""
    known = lora_recipe(start)
    wanted, has = set(layers_named(recipe.layers, count)), set(layers_named(known.layers, count))
    if known.lora != recipe.lora or not wanted <= has:
        raise RecipeError(
            f"the recipe has {recipe.lora} in layers {recipe.layers}, and {start.card.name} has {known.lora} in"
            f" {known.layers}",
            where=str(start.path),
            remedy="take layers and lora of its recipe.yaml, or train from the base",
        )


def check_is_lora(finetune: FineTune) -> None:
    """Raise UsageError where the base's own weights were trained, so that there is no LoRA to combine with others."""
    if finetune.card.recipe.method != "lora":
        raise UsageError(
            f"{finetune.card.name} is no LoRA: the base's own weights learnt",
            where=str(finetune.path),
            remedy="export it alone, as a graph of its own, or adapt with method: lora",
        )


def write_card(folder: Path, card: FineTuneCard) -> None:
    """Write or replace card.json, whole or not at all."""
    write_whole(folder / CARD, card.model_dump_json(indent=1))


def _damaged(path: Path, what: str) -> MetierError:
    return DataError(f"the fine-tune is damaged: {what}", where=str(path), remedy=_AGAIN)
