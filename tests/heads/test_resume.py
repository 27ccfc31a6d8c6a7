"""An interrupted training of a head resumes from its checkpoint and ends with the weights of the unbroken run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metier.adapt import adapt
from metier.bases.finetune import load_finetune
from metier.contracts import Recipe, Sample, TaskContract, UsageError
from metier.training import Progress

Kinds = dict[str, tuple[TaskContract, list[Sample]]]


class BrokenError(Exception):
    """As if the power had gone."""


def broken_at(step: int, seen: list[int]) -> Callable[[Progress], None]:
    def on_progress(event: Progress) -> None:
        seen.append(event.step)
        if event.step >= step:
            raise BrokenError

    return on_progress


def recipe(base: Path, **fields: Any) -> Recipe:
    settings = {"produces": "head", "batch_size": 16, "epochs": 2, "checkpoint_seconds": 1e-6, "lora": {"rank": 2}}
    return Recipe(**{"base": str(base), **settings, **fields})


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("sort", {"method": "full"}),
        ("find", {"method": "full", "layers": "top:1"}),
        ("match", {"method": "lora", "lora": {"rank": 2, "dropout": 0.1}}),
    ],
)
def test_a_broken_run_ends_with_the_weights_of_an_unbroken_one(
    kind: str, fields: dict[str, Any], kinds: Kinds, tiny_encoder: Path, tmp_path: Path
) -> None:
    task, samples = kinds[kind]
    head_recipe = recipe(tiny_encoder, **fields)
    whole = adapt(task, samples, [], head_recipe, tmp_path / "whole")
    seen: list[int] = []
    for step in (2, 5):
        with pytest.raises(BrokenError):
            adapt(task, samples, [], head_recipe, tmp_path / "broken", progress=broken_at(step, seen))
        with pytest.raises(UsageError, match="has not finished"):
            load_finetune(tmp_path / "broken", produces="head")
    resumed = adapt(task, samples, [], head_recipe, tmp_path / "broken", progress=broken_at(99, seen))
    # The step that was broken off had no checkpoint yet, so it comes twice, and no other one does.
    assert seen == sorted([*range(1, int(whole.card.training["steps"]) + 1), 2, 5])
    assert resumed.card.weights_sha256 == whole.card.weights_sha256
    assert {path.name for path in resumed.path.iterdir()} == {path.name for path in whole.path.iterdir()}
    assert resumed.card.training["steps"] == whole.card.training["steps"]


def test_a_checkpoint_of_other_samples_is_refused_and_starting_over_drops_it(
    kinds: Kinds, tiny_encoder: Path, tmp_path: Path
) -> None:
    task, samples = kinds["sort"]
    head_recipe = recipe(tiny_encoder, method="full")
    with pytest.raises(BrokenError):
        adapt(task, samples, [], head_recipe, tmp_path / "out", progress=broken_at(3, []))
    with pytest.raises(UsageError, match="checkpoint of a run with another recipe, data or base"):
        adapt(task, samples[8:], [], head_recipe, tmp_path / "out")
    seen: list[int] = []
    adapt(task, samples[8:], [], head_recipe, tmp_path / "out", resume=False, progress=broken_at(99, seen))
    assert seen[0] == 1 and not (tmp_path / "out" / "checkpoint").exists()


def test_interrupted_feature_training_starts_again_and_leaves_nothing_behind(
    kinds: Kinds, tiny_encoder: Path, tmp_path: Path
) -> None:
    task, samples = kinds["sort"]
    head_recipe = recipe(tiny_encoder, method="features")
    with pytest.raises(BrokenError):
        adapt(task, samples, [], head_recipe, tmp_path / "out", progress=broken_at(80, []))
    tuned = adapt(task, samples, [], head_recipe, tmp_path / "out")
    again = adapt(task, samples, [], head_recipe, tmp_path / "again")
    assert tuned.card.weights_sha256 == again.card.weights_sha256
    assert not [path for path in tuned.path.iterdir() if path.name.startswith(".")]
