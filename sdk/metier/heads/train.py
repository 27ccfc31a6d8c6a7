"""Training of a head, and with it what the recipe trains of the base, from samples to a fine-tune's folder.

A class starts at its prototype, the mean direction of its samples in the untouched base: a head that is informed, so
that its first gradients preserve the base (as LP-FT does, arXiv 2202.10054), and that does not fit the samples yet, so
that gradients for the base remain. A head over words is fitted for a few epochs first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from importlib.metadata import version

import torch
from torch.nn.functional import cross_entropy

from metier.bases.checksum import sha256_of
from metier.bases.finetune import write_card
from metier.bases.hardware import choose_device, choose_dtype
from metier.contracts import FineTune, FineTuneCard, Sample, UsageError
from metier.contracts.finetune import HEAD
from metier.contracts.heads import HEAD_FILE
from metier.data.samples_file import write_samples
from metier.disk import atomic_path
from metier.heads.feature_training import Figures, begin, by_length, fit_head
from metier.heads.head_graphs import write_head
from metier.heads.head_model import HeadModel, Item
from metier.heads.joint_training import JointTraining
from metier.runtime.head_inputs import Shape
from metier.training import checkpoint
from metier.training.hidden_state_cache import HiddenStateCache
from metier.training.lora_setup import training_kernels
from metier.training.progress import Progress
from metier.training.recipe_file import write_recipe
from metier.training.result import summary
from metier.training.run import TrainingRun

_LIBRARIES = ("torch", "transformers", "peft", "tokenizers", "safetensors")
_FEATURES, _STATES = ".features", ".states"
_START_EPOCHS = 5
"""Of a head without prototypes, before joint training: enough to inform it, too few to fit all samples."""


def train_head(run: TrainingRun) -> FineTune:
    """Train a head for one task, and write the fine-tune's folder, complete or not at all.

    See `metier.adapt.adapt` for the arguments and errors. With `features` a killed run starts again, since it
    takes seconds. Held-out samples choose nothing: their loss is in the card.

    Raises:
        UsageError: several tasks, a task of a kind that a head does not solve, a start, or a watch.
    """
    task, *more = run.tasks.values()
    if more:
        raise UsageError(
            "a head solves one task", remedy="adapt each task on its own, or set produces: text in the recipe"
        )
    if run.start is not None or run.watch is not None:
        raise UsageError(
            "a head is trained from the base, and is not evaluated during training",
            remedy="leave out `start` and `watch`",
        )
    with run.locked():
        base = run.local_base()
        fingerprint = run.fingerprint(base)
        if (finished := run.finished(fingerprint)) is not None:
            return finished
        device = choose_device(run.device)
        head_model = HeadModel(task, base, run.recipe, device, choose_dtype(run.recipe.precision, device))
        figures = _trained(run, head_model, fingerprint)
        card = _written(run, head_model, figures)
        checkpoint.remove(run.checkpoints)
        return FineTune(path=run.out, card=card)


def _trained(run: TrainingRun, head_model: HeadModel, fingerprint: str) -> Figures:
    """Train the head, and with it what the recipe trains of the base."""
    recipe, figures = run.recipe, Figures()
    items = [*map(head_model.item, run.train), *_label_words(head_model)]
    with (
        HiddenStateCache(run.out / _FEATURES, run.limit) as features,
        HiddenStateCache(run.out / _STATES, run.limit) as frozen,
    ):
        begin(head_model, items, features, frozen, figures)
        training: Iterable[Progress]
        kernels: AbstractContextManager[None] = nullcontext()
        if recipe.method == "features":
            training = fit_head(head_model, items, features, figures, recipe.head.epochs)
        else:
            if not head_model.head.cosine:
                first = Figures()
                for _ in fit_head(head_model, items, features, first, _START_EPOCHS):
                    pass
                figures.begin_seconds += first.seconds
            training = JointTraining(head_model, items, frozen, figures, run.checkpoints, fingerprint)
            kernels = training_kernels(head_model.trunk.model)
        with kernels:
            for event in training:
                run.report(event)
    return figures


def _written(run: TrainingRun, head_model: HeadModel, figures: Figures) -> FineTuneCard:
    """Write weights, graph, recipe and samples, and the card last: a folder with a card is complete."""
    out = run.out
    with atomic_path(out / HEAD) as part:
        head_model.save(part)
    write_head(head_model.head, out / HEAD_FILE)
    write_recipe(out / "recipe.yaml", run.recipe)
    write_samples(out / "train.jsonl", run.train)
    write_samples(out / "held_out.jsonl", run.held_out)
    card = FineTuneCard(
        name=out.resolve().name,
        tasks=(head_model.task,),
        base=head_model.base.card,
        recipe=run.recipe,
        data=summary(run.train, run.held_out),
        weights_sha256=sha256_of(out / HEAD),
        graph_sha256=sha256_of(out / HEAD_FILE),
        versions={name: version(name) for name in _LIBRARIES},
        training=_training_figures(head_model, run.held_out, figures),
        created=datetime.now(UTC).replace(microsecond=0),
    )
    write_card(out, card)
    return card


def _label_words(head_model: HeadModel) -> list[Item]:
    """A label's own words as one more sample of it, where labels are words: they say what the label means, which helps
    with few samples of each (banking77, 10 samples an intent: half a point to a point of accuracy)."""
    if head_model.shape is not Shape.SEQUENCE:
        return []
    words = [" ".join(re.findall(r"[^\W_]+", label)) for label in head_model.task.labels]
    return [head_model.item_of(text.lower(), k) for k, text in enumerate(words) if re.search(r"[^\W\d_]{2}", text)]


def _training_figures(head_model: HeadModel, held_out: Sequence[Sample], figures: Figures) -> dict[str, float]:
    recent = figures.losses[-max(1, len(figures.losses) // 10) :]
    epochs = figures.epoch_seconds
    found = {
        "seconds": round(figures.seconds, 2),
        "steps": float(figures.steps),
        "tokens": float(figures.tokens),
        "begin_seconds": round(figures.begin_seconds, 3),
        "epoch_seconds": round(sorted(epochs)[len(epochs) // 2], 4) if epochs else 0.0,
        "cached_bytes": float(figures.cached_bytes),
        "train_loss": sum(recent) / len(recent) if recent else 0.0,
    }
    if held_out:
        items = [head_model.item(sample) for sample in held_out]
        loss, things = 0.0, 0
        with head_model.evaluating():
            for part in by_length(items):
                some = [items[i] for i in part]
                targets = torch.tensor([k for item in some for k in item.targets], device=head_model.trunk.device)
                loss += float(cross_entropy(head_model.head(head_model.features(some)), targets, reduction="sum"))
                things += len(targets)
        found["held_out_loss"] = loss / things
    return found
