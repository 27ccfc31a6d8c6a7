"""Compares presets on one task and one split: each is trained, answers the same held-out inputs and is measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from metier.adapt.fine_tuning import adapt
from metier.adapt.methods import method_of
from metier.bases.hardware import choose_device, free_memory
from metier.bases.resolve import LocalBase
from metier.contracts import FineTune, Recipe, Sample, TaskContract, UsageError
from metier.contracts.schema import Data
from metier.disk import write_atomic
from metier.evaluate.figures import measured
from metier.evaluate.presets import preset_recipe
from metier.evaluate.systems import HeldOut, Label, fine_tune_answers
from metier.metrics.bootstrap import resample_weights
from metier.metrics.cases import cases_of
from metier.metrics.results import MetricReport
from metier.metrics.selection import choose_measures

Progress = Callable[..., None]
"""`progress(what, done, total)`."""

RESULT = "comparison.json"
"""The last thing written: the table, as `Comparison.model_validate_json` reads it back."""


class PresetFigures(Data):
    """What one preset costs."""

    preset: str
    recipe: Recipe
    training_seconds: float
    epoch_seconds: float
    """Median; of the head's epochs where the base is frozen."""
    answer_ms: float
    """Milliseconds an input, loading left out."""
    megabytes: float
    """Of the fine-tune's weights."""


class Comparison(Data):
    """Several presets on one split."""

    task: str
    base: str
    samples: int
    inputs: int
    seed: int
    presets: tuple[PresetFigures, ...]
    metrics: tuple[MetricReport, ...]
    """The values and paired differences of every measure, by preset."""


def compare(
    task: TaskContract,
    train: Sequence[Sample],
    held_out: Sequence[Sample],
    presets: Sequence[str],
    recipe: Recipe,
    out: Path,
    *,
    base: LocalBase,
    resamples: int = 1000,
    device: str = "auto",
    progress: Progress | None = None,
) -> Comparison:
    """Train each preset into a folder of `out` and measure all of them on `held_out`, with paired bootstrap intervals.

    Held-out samples choose nothing: the last weights count. Presets that are in `out` already, from the same recipe and
    samples, are not trained again; the result is written there as comparison.json.

    Args:
        task: the contract.
        train: samples that every preset learns from.
        held_out: samples that every preset answers.
        presets: names, of `preset_recipe`.
        recipe: what the presets have in common.
        out: folder.
        base: the base on disk.
        resamples: of the bootstrap.
        device: auto, cpu or cuda.
        progress: called as `progress(what, done, total)`.

    Raises:
        RecipeError: an unknown preset.
        UsageError: no presets, two of one name, or one that the task or the base does not support.
    """
    if not presets or len(set(presets)) < len(presets):
        raise UsageError("name each preset once", remedy="such as --presets head/features,head/full")
    recipes = {name: preset_recipe(name, recipe) for name in presets}
    for one in recipes.values():
        method_of(one).check(task, base.card)
    report: Progress = progress or (lambda *_, **__: None)
    cases = cases_of(task, held_out)
    held_out_set = HeldOut(task, cases, progress=report)
    systems, figures = [], []
    for name, one in recipes.items():
        tuned = _trained(task, train, one, out / name.replace("/", "-").replace(":", ""), base, device, report, name)
        model = method_of(one).load(tuned, task, base, device=choose_device(device))
        label = Label(name, name, base.card.id)
        answers = fine_tune_answers(model, held_out_set, label, max_tokens=task.max_reply_tokens)
        del model  # before the next preset trains
        free_memory()
        systems.append(answers)
        costs = tuned.card.training
        steps = costs["steps"] / max(1.0, one.epochs)
        figures.append(
            PresetFigures(
                preset=name,
                recipe=one,
                training_seconds=costs["seconds"],
                epoch_seconds=costs.get(
                    "epoch_seconds", costs.get("step_seconds", costs["seconds"]) / max(1.0, costs["steps"]) * steps
                ),
                answer_ms=1000 * answers.report.seconds / len(cases),
                megabytes=(tuned.path / tuned.card.weights).stat().st_size / 1e6,
            )
        )
    weights = resample_weights(len(cases), resamples, recipe.seed)
    made = Comparison(
        task=task.name,
        base=base.card.id,
        samples=len(train),
        inputs=len(cases),
        seed=recipe.seed,
        presets=tuple(figures),
        metrics=tuple(measured(m, cases, systems, [], weights, 0.95) for m in choose_measures(task)),
    )
    write_atomic(out / RESULT, made.model_dump_json(indent=1) + "\n")
    return made


def _trained(
    task: TaskContract,
    train: Sequence[Sample],
    recipe: Recipe,
    out: Path,
    base: LocalBase,
    device: str,
    report: Progress,
    name: str,
) -> FineTune:
    def tick(event: Any) -> None:
        report(f"{name}: loss {event.loss:.3f}", event.step, event.steps)

    report(f"{name}: reading the base")
    return adapt(task, train, (), recipe, out, base=base, device=device, progress=tick)
