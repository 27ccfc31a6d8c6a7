"""Text with frozen lower layers: they run once per sample, and training gives the same weights."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from metier.adapt import adapt
from metier.align.policy_init import recipe_of
from metier.bases.finetune import lora_recipe
from metier.contracts import FineTune, RecipeError
from metier.training import Progress
from metier.training.training_model import TrainingModel

TOP = {"layers": "top:1"}


def weights(tuned: FineTune) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(tuned.path / tuned.card.weights)


@contextmanager
def calls() -> Iterator[Counter[int]]:
    """How many tokens went through each decoder layer."""
    from transformers.models.llama.modeling_llama import LlamaDecoderLayer

    seen: Counter[int] = Counter()
    plain = LlamaDecoderLayer.forward

    def counted(self: Any, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        seen[self.self_attn.layer_idx] += hidden_states.shape[0] * hidden_states.shape[1]
        return plain(self, hidden_states, *args, **kwargs)

    LlamaDecoderLayer.forward = counted  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        LlamaDecoderLayer.forward = plain  # type: ignore[method-assign]


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("method", ["lora", "full"])
def test_training_over_cached_states_equals_training_the_full_model(
    method: str, packed: bool, task, samples, recipe, local_base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not packed:  # as an architecture is trained that takes no attention function
        monkeypatch.setattr(TrainingModel, "choose_layout", lambda *_: None)
    varied_recipe = recipe.model_copy(update={"method": method, **TOP, "epochs": 3})
    kept = adapt(task, samples[:16], samples[16:24], varied_recipe, tmp_path / "kept", base=local_base)
    assert kept.card.training["cached_bytes"] > 0
    monkeypatch.setattr(TrainingModel, "reuse_frozen", lambda *_: None)
    whole = adapt(task, samples[:16], samples[16:24], varied_recipe, tmp_path / "whole", base=local_base)
    assert "cached_bytes" not in whole.card.training
    assert kept.card.training["train_loss"] == pytest.approx(whole.card.training["train_loss"], rel=1e-3)
    assert kept.card.training["held_out_loss"] == pytest.approx(whole.card.training["held_out_loss"], rel=1e-3)
    ours, theirs = weights(kept), weights(whole)
    assert ours.keys() == theirs.keys()
    for name, weight in ours.items():  # Adam makes a step of full size from a gradient of any size: a few may differ
        assert (weight - theirs[name]).float().norm() < 0.02 * theirs[name].float().norm()


def test_frozen_layers_run_once_per_sample_whatever_the_epochs(
    task, samples, recipe, local_base, tmp_path: Path
) -> None:
    seen = {}
    for epochs in (2, 6):
        varied_recipe = recipe.model_copy(update={**TOP, "epochs": epochs})
        with calls() as seen[epochs]:
            adapt(task, samples[:16], [], varied_recipe, tmp_path / str(epochs), base=local_base)
    assert seen[2][0] == seen[6][0] < seen[2][2] < seen[6][2]


def test_samples_beyond_the_bound_are_computed_again_and_the_loss_is_the_same(
    task, samples, recipe, local_base, tmp_path: Path
) -> None:
    varied_recipe = recipe.model_copy(update=TOP)
    unbounded, bounded = (
        adapt(task, samples[:16], [], varied_recipe, tmp_path / name, base=local_base, limit=limit)
        for name, limit in (("all", 1 << 30), ("some", 40_000))
    )
    assert 0 < bounded.card.training["cached_bytes"] <= 40_000 < unbounded.card.training["cached_bytes"]
    assert bounded.card.training["train_loss"] == pytest.approx(unbounded.card.training["train_loss"], rel=1e-3)


def test_a_run_broken_in_the_middle_ends_with_the_weights_of_an_unbroken_one(
    task, samples, recipe, local_base, tmp_path: Path
) -> None:
    varied_recipe = recipe.model_copy(update={**TOP, "checkpoint_seconds": 1e-6})

    def broken(event: Progress) -> None:
        if event.step == 5:
            raise KeyboardInterrupt

    whole = adapt(task, samples[:16], samples[16:20], varied_recipe, tmp_path / "whole", base=local_base)
    with pytest.raises(KeyboardInterrupt):
        adapt(task, samples[:16], samples[16:20], varied_recipe, tmp_path / "broken", base=local_base, progress=broken)
    resumed = adapt(task, samples[:16], samples[16:20], varied_recipe, tmp_path / "broken", base=local_base)
    assert resumed.card.weights_sha256 == whole.card.weights_sha256
    assert {path.name for path in resumed.path.iterdir()} == {path.name for path in whole.path.iterdir()}


def test_where_every_layer_learns_nothing_is_kept(task, samples, recipe, local_base, tmp_path: Path) -> None:
    tuned = adapt(task, samples[:8], [], recipe, tmp_path / "run", base=local_base)
    assert "cached_bytes" not in tuned.card.training


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_training_continues_in_some_layers_of_a_start_over_cached_states_of_its_others(
    dropout: float, task, samples, recipe, local_base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe.model_copy(update={"lora": recipe.lora.model_copy(update={"dropout": dropout})})
    start = adapt(task, samples[:16], (), recipe, tmp_path / "start", base=local_base)
    varied_recipe = recipe.model_copy(update={**TOP, "epochs": 3})
    with calls() as seen:
        kept = adapt(task, samples[8:24], (), varied_recipe, tmp_path / "kept", base=local_base, start=start)
    assert seen[0] < seen[2] / 2 and kept.card.training["cached_bytes"] > 0
    with monkeypatch.context() as patch:
        patch.setattr(TrainingModel, "reuse_frozen", lambda *_: None)
        whole = adapt(task, samples[8:24], (), varied_recipe, tmp_path / "whole", base=local_base, start=start)
    assert kept.card.training["train_loss"] == pytest.approx(whole.card.training["train_loss"], rel=1e-3)
    before, after = weights(start), weights(kept)
    assert before.keys() == after.keys()
    for name, trained in after.items():
        assert torch.equal(before[name], trained) == (".layers.2." not in name), name
    again = adapt(task, samples[:16], (), recipe, tmp_path / "again", base=local_base, start=kept)
    assert all(not torch.equal(weights(again)[name], trained) for name, trained in after.items()), (
        "all layers can be trained again"
    )
    assert (kept.card.recipe.layers, lora_recipe(kept).layers, recipe_of(kept).layers) == ("top:1", "all", "all")


def test_training_cannot_continue_in_layers_where_the_start_has_no_lora(
    task, samples, recipe, local_base, tmp_path: Path
) -> None:
    starts = {
        layers: adapt(
            task, samples[:8], (), recipe.model_copy(update={"layers": layers}), tmp_path / layers, base=local_base
        )
        for layers in ("top:1", "1,3", "top:3")
    }
    assert {layers: lora_recipe(start).layers for layers, start in starts.items()} == {key: key for key in starts}

    def go_on(start: str, layers: str) -> FineTune:
        other = recipe.model_copy(update={"layers": layers})
        return adapt(task, samples[:8], (), other, tmp_path / "on" / layers, base=local_base, start=starts[start])

    for start, layers in (("top:1", "all"), ("top:1", "top:2"), ("1,3", "1-2")):
        with pytest.raises(RecipeError, match=f"in layers {layers}, and {start} has .* in {start}"):
            go_on(start, layers)
    assert go_on("top:3", "all").card.recipe.layers == "all", "it has weights in all three"
