"""Fits a head, and with it what of the base the recipe lets learn, from samples to a fine-tune's folder.

A class begins at its prototype, the mean direction of its samples in the untouched base: a head that knows something
already, so that its first gradients leave the base what it knows (as LP-FT does, arXiv 2202.10054), and that has not
learnt the samples by heart, so that something is left to tell the base. A head over words is fitted for a moment first.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from torch.nn.functional import cross_entropy

from metier.bases.finetune import load_finetune, write_card
from metier.bases.hardware import choose_device, choose_dtype
from metier.bases.resolve import LocalBase, resolve
from metier.contracts import FineTune, FineTuneCard, Recipe, RecipeError, Sample, TaskContract, UsageError
from metier.contracts.finetune import CARD, HEAD
from metier.contracts.heads import HEAD_FILE
from metier.data.samples_file import write_samples
from metier.disk import atomic_path
from metier.heads.feature_training import Figures, Told, alike, begin, fit_head
from metier.heads.head_graphs import write_head
from metier.heads.head_model import Headed, Item
from metier.heads.joint_training import FitBoth
from metier.runtime.head_inputs import Shape
from metier.training import checkpoint
from metier.training.hidden_state_cache import LIMIT, States
from metier.training.loop import Progress
from metier.training.lora_setup import training_kernels
from metier.training.recipe_file import write_recipe
from metier.training.resource_errors import said_clearly
from metier.training.result import fingerprint, summary

_LIBRARIES = ("torch", "transformers", "peft", "tokenizers", "safetensors")
_FEATURES, _STATES = ".features", ".states"
_START_EPOCHS = 5
"""Of a head without prototypes, before its base learns with it: it is to know something, and not all samples."""


def adapt_head(
    tasks: TaskContract | Sequence[TaskContract],
    train: Sequence[Sample],
    held_out: Sequence[Sample],
    recipe: Recipe,
    out: str | Path,
    *,
    base: LocalBase | None = None,
    resume: bool = True,
    progress: Told | None = None,
    device: str = "auto",
    limit: int = LIMIT,
) -> FineTune:
    """Teach a head its task, and write the fine-tune's folder whole or not at all. A finished run is returned as it is.

    A run that was killed goes on from its last checkpoint when called again with the same arguments, and ends with the
    weights that the unbroken run would have had; with `features`, which takes seconds, it begins anew. Held-out samples
    choose nothing here: their loss stands in the card.

    Args:
        tasks: the one task, of a kind that classifies, extracts, relates or ranks.
        train: samples to learn from.
        held_out: samples to measure on; may be empty.
        recipe: its way is head.
        out: folder of the fine-tune; made if missing.
        base: a base at hand, encoder or decoder; None resolves the recipe's.
        resume: False throws away what `out` holds.
        progress: called after every step of the base's learning, or every epoch of the head's with `features`.
        device: auto, cpu or cuda.
        limit: bytes on disk for what frozen layers say of the samples, and as many for what the head reads of them.

    Raises:
        RecipeError: the recipe's way is text, or its layers are not the base's.
        UsageError: no samples, a task no head does, or `out` belongs to another run or a running one.
        ContractError, DataError: a sample that does not fit.
        BaseError, DeviceError, ResourceError: as `metier.adapt.adapt`.
    """
    out = Path(out)
    if recipe.produces != "head":
        raise RecipeError("this recipe's way is text", remedy="say produces: head, or use metier.adapt.adapt")
    task, *more = [tasks] if isinstance(tasks, TaskContract) else tasks
    if more:
        raise UsageError("a head answers one task", remedy="adapt each on its own, or say produces: text")
    if not train:
        raise UsageError("there are no samples to train on", remedy="give at least one")
    with said_clearly(out):
        out.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(out / ".lock", timeout=0):
                tuned = _adapt(
                    task, train, held_out, recipe, out, base or resolve(recipe.base), resume, progress, device, limit
                )
        except Timeout as error:
            raise UsageError(
                "another process is training into this folder", where=str(out), remedy="wait for it, or choose another"
            ) from error
    with suppress(OSError):
        (out / ".lock").unlink()
    return tuned


def _adapt(
    task: TaskContract,
    train: Sequence[Sample],
    held_out: Sequence[Sample],
    recipe: Recipe,
    out: Path,
    base: LocalBase,
    resume: bool,
    progress: Told | None,
    device: str,
    limit: int,
) -> FineTune:
    data = summary(train, held_out)
    run = fingerprint([task], data.sha256, data.held_out_sha256, recipe, base.card.sha256, None)
    folder = out / checkpoint.FOLDER
    if not resume:
        checkpoint.remove(folder)
        (out / CARD).unlink(missing_ok=True)
    elif (out / CARD).is_file():
        return _finished(out, run)
    where = choose_device(device)
    headed = Headed(task, base, recipe, where, choose_dtype(recipe.precision, where))
    items = [*map(headed.item, train), *_label_words(headed)]
    figures = Figures()
    with States(out / _FEATURES, limit) as features, States(out / _STATES, limit) as frozen:
        begin(headed, items, features, frozen, figures)
        if recipe.method != "features" and not headed.head.cosine:
            first = Figures()
            for _ in fit_head(headed, items, features, first, _START_EPOCHS):
                pass
            figures.begin_seconds += first.seconds
        training: Iterable[Progress]
        kernels: AbstractContextManager[None] = nullcontext()
        if recipe.method == "features":
            training = fit_head(headed, items, features, figures, recipe.head.epochs)
        else:
            training = FitBoth(headed, items, frozen, figures, folder, run)
            kernels = training_kernels(headed.trunk.model)
        with kernels:
            for event in training:
                if progress:
                    progress(event)
    with atomic_path(out / HEAD) as part:
        headed.save(part)
    write_head(headed.head, out / HEAD_FILE)
    write_recipe(out / "recipe.yaml", recipe)
    write_samples(out / "train.jsonl", train)
    write_samples(out / "held_out.jsonl", held_out)
    card = FineTuneCard(
        name=out.resolve().name,
        tasks=(task,),
        base=base.card,
        recipe=recipe,
        data=data,
        weights_sha256=hashlib.sha256((out / HEAD).read_bytes()).hexdigest(),
        graph_sha256=hashlib.sha256((out / HEAD_FILE).read_bytes()).hexdigest(),
        versions={name: version(name) for name in _LIBRARIES},
        training=_told(headed, held_out, figures),
        created=datetime.now(UTC).replace(microsecond=0),
    )
    write_card(out, card)
    checkpoint.remove(folder)
    return FineTune(path=out, card=card)


def _label_words(headed: Headed) -> list[Item]:
    """A label's own words as one more sample of it, where labels are words: they say what the label means, and with few
    samples of each that tells (measured on banking77, 10 samples an intent: half a point to a point of accuracy)."""
    if headed.shape is not Shape.SEQUENCE:
        return []
    words = [" ".join(re.findall(r"[^\W_]+", label)) for label in headed.task.labels]
    return [headed.item_of(text.lower(), k) for k, text in enumerate(words) if re.search(r"[^\W\d_]{2}", text)]


def _told(headed: Headed, held_out: Sequence[Sample], figures: Figures) -> dict[str, float]:
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
        items = [headed.item(sample) for sample in held_out]
        loss, things = 0.0, 0
        with headed.resting():
            for part in alike(items):
                some = [items[i] for i in part]
                targets = torch.tensor([k for item in some for k in item.targets], device=headed.trunk.device)
                loss += float(cross_entropy(headed.head(headed.features(some)), targets, reduction="sum"))
                things += len(targets)
        found["held_out_loss"] = loss / things
    return found


def _finished(out: Path, run: str) -> FineTune:
    finetune = load_finetune(out, produces="head")
    card, data = finetune.card, finetune.card.data
    if run == fingerprint(card.tasks, data.sha256, data.held_out_sha256, card.recipe, card.base.sha256, None):
        return finetune
    raise UsageError(
        f"the folder already holds the fine-tune {card.name}, of another recipe, data or base",
        where=str(out),
        remedy="choose another output folder, or start over without resuming to replace it",
    )
