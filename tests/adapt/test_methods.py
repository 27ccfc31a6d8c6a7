"""One object per method of adaptation: `method_of` chooses it, and nothing else depends on what a recipe produces."""

from __future__ import annotations

from pathlib import Path

import pytest

from metier.adapt import adapt, method_of
from metier.adapt.methods import is_live
from metier.contracts import Base, FineTune, Recipe, TaskContract, UsageError
from metier.contracts.base import Architecture

ROOM = Path(__file__).resolve().parents[2] / "sdk" / "metier"


def test_a_recipe_names_its_method() -> None:
    text, head = method_of(Recipe()), method_of(Recipe(produces="head"))
    assert (text.generates, text.loss_unit, text.continues) == (True, "token", True)
    assert (head.generates, head.loss_unit, head.continues) == (False, "label", False)


@pytest.mark.parametrize(
    ("produces", "method", "live"),
    [
        ("text", "lora", True),
        ("text", "full", False),
        ("head", "features", True),
        ("head", "lora", False),
        ("head", "full", False),
    ],
)
def test_a_running_engine_takes_lora_and_heads_over_features(produces: str, method: str, live: bool) -> None:
    assert is_live(Recipe(produces=produces, method=method)) is live


def test_text_needs_a_base_that_generates(tiny_finetune: FineTune) -> None:
    task: TaskContract = tiny_finetune.card.tasks[0]
    encoder = Base(id="tiny", model_class="BertModel", architecture=Architecture.ENCODER, context_length=64)
    with pytest.raises(UsageError, match=r"tiny is an encoder and cannot generate text for tiny\.copy"):
        method_of(Recipe()).check(task, encoder)


def test_a_head_takes_neither_a_start_nor_a_watch(tiny_finetune: FineTune, tmp_path: Path) -> None:
    task = tiny_finetune.card.tasks[0]
    with pytest.raises(UsageError, match="a head is trained from the base"):
        adapt(task, [], [], Recipe(produces="head"), tmp_path, start=tiny_finetune)


def test_no_other_module_compares_what_a_recipe_produces() -> None:
    found = {
        str(path.relative_to(ROOM))
        for path in ROOM.rglob("*.py")
        if any(".produces ==" in line or ".produces !=" in line for line in path.read_text("utf-8").splitlines())
    }
    # A recipe checks itself, and `load_finetune` takes what its caller needs.
    assert found <= {"contracts/recipe.py", "bases/finetune.py"}
