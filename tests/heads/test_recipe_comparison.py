"""`compare`: every preset on one split, text beside heads, with paired intervals; and the recipes of presets."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from metier.adapt import ExportOptions, export_bundle
from metier.bases.finetune import load_finetune
from metier.bases.resolve import resolve
from metier.contracts import Recipe, RecipeError, Sample, TaskContract, TaskKind, UsageError, prompt
from metier.data.continuation import held_out_data
from metier.evaluate import compare, preset_recipe


class Words(BaseModel):
    text: str


Kinds = dict[str, tuple[TaskContract, list[Sample]]]


def test_heads_and_text_are_measured_on_the_same_inputs(kinds: Kinds, tiny_base: Path, tmp_path: Path) -> None:
    task, samples = kinds["sort"]
    recipe = Recipe(base=str(tiny_base), epochs=1, head={"epochs": 25}, lora={"rank": 2})
    presets = ["text/lora", "head/features/embedding", "head/lora/top:1"]
    local = resolve(tiny_base)
    comparison = compare(task, samples[:40], samples[40:], presets, recipe, tmp_path, base=local, resamples=50)
    assert (
        [figures.preset for figures in comparison.presets] == presets
        and comparison.samples == 40
        and comparison.inputs == 8
    )
    accuracy = next(metric for metric in comparison.metrics if metric.name == "accuracy")
    assert set(accuracy.values) == set(presets) and len(accuracy.differences) == 3
    assert accuracy.values["head/features/embedding"].value >= 75
    assert all(0 <= one.low <= one.value <= one.high <= 100 for one in accuracy.values.values())
    assert all(f.megabytes > 0 and f.training_seconds > 0 and f.epoch_seconds > 0 for f in comparison.presets)
    again = compare(task, samples[:40], samples[40:], presets[1:2], recipe, tmp_path, base=local, resamples=50)
    assert again.presets[0].training_seconds == comparison.presets[1].training_seconds  # the finished result is reused


def test_a_preset_uses_its_own_settings_unless_the_recipe_has_the_same_method() -> None:
    trade = Recipe(base="b", seed=3, epochs=7, learning_rate=5e-4, lora={"rank": 4})
    assert preset_recipe("text/lora", trade) == trade
    whole = preset_recipe("head/full/top:2", trade)
    assert (whole.produces, whole.method, whole.layers, whole.seed, whole.lora.rank) == ("head", "full", "top:2", 3, 4)
    assert whole.learning_rate < trade.learning_rate
    mine = Recipe(base="b", produces="head", method="full", learning_rate=3e-5)
    assert preset_recipe("head/full/1-2,4", mine).learning_rate == 3e-5


@pytest.mark.parametrize("name", ["head", "text/features", "head/lora/embedding", "head/features/bottom:1"])
def test_an_unknown_preset_is_refused(name: str) -> None:
    with pytest.raises(RecipeError):
        preset_recipe(name, Recipe())


def test_text_needs_a_base_that_generates_and_presets_are_named_once(
    kinds: Kinds, tiny_encoder: Path, tmp_path: Path
) -> None:
    task, samples = kinds["sort"]
    local = resolve(tiny_encoder)
    with pytest.raises(UsageError, match="cannot generate"):
        compare(task, samples, samples, ["text/lora"], Recipe(base=str(tiny_encoder)), tmp_path, base=local)
    with pytest.raises(UsageError, match="each preset once"):
        compare(task, samples, samples, ["head/full"] * 2, Recipe(base=str(tiny_encoder)), tmp_path, base=local)


def test_a_task_that_no_head_solves_is_refused_before_any_preset_is_trained(tiny_base: Path, tmp_path: Path) -> None:
    task = TaskContract(
        name="tiny.write", kind=TaskKind.GENERATE, input=Words, output=Words, prompts={"en": prompt("{{ text }}")}
    )
    given = [Sample(task="tiny.write", input={"text": str(n)}, output={"text": "a"}) for n in range(8)]
    with pytest.raises(UsageError, match="a head cannot"):
        compare(task, given, given, ["text/lora", "head/features"], Recipe(), tmp_path, base=resolve(tiny_base))
    assert not list(tmp_path.iterdir())


def test_a_preset_of_a_comparison_is_a_fine_tune_that_can_be_exported(
    kinds: Kinds, tiny_base: Path, tmp_path: Path
) -> None:
    """Nothing is held out: an export is proved on training samples."""
    task, samples = kinds["sort"]
    recipe = Recipe(base=str(tiny_base), epochs=1, head={"epochs": 5}, lora={"rank": 2}, precision="fp32")
    presets, local = ["text/lora", "head/features"], resolve(tiny_base)
    compare(task, samples[:16], samples[40:], presets, recipe, tmp_path, base=local, resamples=50)
    for preset in presets:
        tuned = load_finetune(tmp_path / preset.replace("/", "-"), produces=None)
        assert held_out_data(tuned, None) == []
        comparison = export_bundle([tuned], tmp_path / "bundle", ExportOptions(precision="fp32"))
        assert len(comparison.manifest.heads or comparison.manifest.golden) > 0
