"""A head begun at its classes' prototypes, and fitted over features that are computed once, the base left as it is. It
knows items and weights; files and cards are others' business."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from metier.contracts import UsageError
from metier.heads.head_model import AT_ONCE, HeadModel, Item
from metier.heads.token_batch import padded
from metier.training.hidden_state_cache import HiddenStateCache
from metier.training.loop import Progress
from metier.training.schedule import batches, learning_rate

Told = Callable[[Progress], None]

_HEAD_BATCH = 64
"""Items per step while the head alone learns, at most; of few samples a sixteenth, so that an epoch is 16 steps or
more: with one step an epoch, a head of 48 samples had learnt nothing after a hundred."""
_MIX_SHARE = 0.1
"""Of the head's rate for the mixing weights. At the full rate they run to the layer that is learnt by heart soonest;
the mean of all layers does better than that (measured on banking77, 10 samples an intent)."""


@dataclass
class Figures:
    """What a run cost, in seconds, and where its loss ended, in nats per labelled thing."""

    begin_seconds: float = 0.0
    """Before the first epoch: the untouched base over every sample, its frozen layers and a first head among it."""
    epoch_seconds: list[float] = field(default_factory=list)
    """Of epochs in which the base learns, or of the head's alone with `features`."""
    losses: list[float] = field(default_factory=list)
    steps: int = 0
    tokens: int = 0
    cached_bytes: int = 0

    @property
    def seconds(self) -> float:
        """Of computing and learning; reading the base, and time between a kill and its resume, are not in it."""
        return self.begin_seconds + sum(self.epoch_seconds)


def begin(
    head_model: HeadModel, items: Sequence[Item], features: HiddenStateCache, frozen: HiddenStateCache, figures: Figures
) -> None:
    """Keep the untouched base's features of every item, and bring the head to their scale and classes' prototypes.

    Args:
        head_model: base and head.
        items: to learn from.
        features: takes what the head reads of each.
        frozen: takes what the frozen layers say of each text, where others are to learn, as far as its bound goes.
        figures: what is told of it.

    Raises:
        UsageError: the features take more than their bound.
    """
    began = time.perf_counter()
    with head_model.resting():
        for part in alike(items):
            some = [items[i] for i in part]
            found = head_model.features(
                some, over_frozen(head_model, part, some, frozen) if head_model.trunk.frozen else None
            )
            things = [head_model.labelled(item) for item in some]
            for i, own in zip(part, torch.split(found, things), strict=True):
                if not features.keep(i, own):
                    raise UsageError(
                        f"features of {len(items)} samples take more than the {features.limit / 1e9:.1f} GB that are "
                        "allowed",
                        remedy="give fewer samples, or fewer layers in the recipe",
                    )
        head_model.head.take_scale(*_scale(features, len(items)))
        if head_model.head.cosine:
            sums = torch.zeros_like(head_model.head.classes)
            for i, item in enumerate(items):
                targets = torch.tensor(item.targets, device=sums.device)
                sums.index_add_(0, targets, head_model.head.vectors(features.get(i).to(sums.device)))
            head_model.head.take_prototypes(sums)
    figures.begin_seconds += time.perf_counter() - began
    figures.cached_bytes = features.kept + frozen.kept


def fit_head(
    head_model: HeadModel, items: Sequence[Item], features: HiddenStateCache, figures: Figures, epochs: int
) -> Iterator[Progress]:
    """Fit the head alone over features that are kept; an event an epoch."""
    settings = head_model.recipe.head
    optimiser = torch.optim.AdamW(head_groups(head_model, 1.0), lr=0.0)
    targets = [torch.tensor(item.targets) for item in items]
    size = max(1, min(_HEAD_BATCH, len(items) // 16))
    plan = head_model.recipe.model_copy(
        update={"epochs": epochs, "batch_size": size, "learning_rate": settings.learning_rate}
    )
    order = batches(plan, [""] * len(items))
    per_epoch = -(-len(items) // size)
    began = epoch_began = time.perf_counter()
    for done, part in enumerate(order, 1):
        given = torch.cat([features.get(i) for i in part]).to(head_model.trunk.device)
        loss = cross_entropy(head_model.head(given), torch.cat([targets[i] for i in part]).to(given.device))
        rate = learning_rate(plan, done - 1, len(order))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        step(optimiser, rate)
        if done % per_epoch == 0:
            now = time.perf_counter()
            figures.epoch_seconds.append(now - epoch_began)
            figures.losses.append(float(loss.detach()))
            epoch_began = now
            yield progress(done, len(order), epochs, figures, rate, now - began)
    figures.steps += len(order)


def head_groups(head_model: HeadModel, share: float) -> list[dict[str, Any]]:
    """The head's weights as the optimiser takes them; `share` of the rate of its steps."""
    head = head_model.head
    unbound = [head.sharpness] if head.bias is None else [head.sharpness, head.bias]
    return [
        {"params": [head.classes], "weight_decay": head_model.recipe.head.weight_decay, "share": share},
        {"params": unbound, "weight_decay": 0.0, "share": share},
        {"params": [head.mix], "weight_decay": 0.0, "share": _MIX_SHARE * share},
    ]


def over_frozen(head_model: HeadModel, part: Sequence[int], some: Sequence[Item], kept: HiddenStateCache) -> Tensor:
    """Hidden states of items over what the frozen layers say of each text, kept from its first time on."""
    rows = [(2 * i + side, row) for i, item in zip(part, some, strict=True) for side, row in enumerate(item.rows)]
    fresh: dict[int, Tensor] = {}
    if new := [(number, row) for number, row in rows if number not in kept]:
        with head_model.resting():
            found = head_model.trunk.below(padded([row for _, row in new], head_model.trunk.device))
        for (number, row), said in zip(new, found, strict=True):
            fresh[number] = said[: len(row.ids)]
            kept.keep(number, fresh[number])
    batch = head_model.batch(some)
    below = torch.zeros(*batch.ids.shape, head_model.trunk.width, device=batch.ids.device)
    for place, (number, row) in enumerate(rows):
        below[place, : len(row.ids)] = fresh[number] if number in fresh else kept.get(number)
    return head_model.trunk.above(batch, below)


def step(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """One step at a rate, or at a group's share of it."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get("share", 1.0)
    optimiser.step()


def alike(items: Sequence[Item]) -> Iterator[list[int]]:
    """Numbers of the items, in batches of like length: least padding."""
    order = sorted(range(len(items)), key=lambda i: len(items[i]))
    for start in range(0, len(order), AT_ONCE):
        yield order[start : start + AT_ONCE]


def _scale(features: HiddenStateCache, count: int) -> tuple[Tensor, Tensor]:
    """Mean and deviation of the features, each [read, width], over all samples, groups and words."""
    total, squares, things = torch.zeros(()), torch.zeros(()), 0
    for i in range(count):
        found = features.get(i).double()  # [things, read, groups, width]
        total = total + found.sum((0, 2))
        squares = squares + found.square().sum((0, 2))
        things += found.shape[0] * found.shape[2]
    mean = total / things
    return mean.float(), (squares / things - mean.square()).clamp_min(0).sqrt().float()


def progress(
    done: int, steps: int, epochs: float, figures: Figures, rate: float, seconds: float, tokens: int = 0
) -> Progress:
    """What the last step, or the last epoch of a head alone, has come to."""
    return Progress(
        step=done,
        steps=steps,
        epoch=epochs * done / steps,
        loss=figures.losses[-1],
        learning_rate=rate,
        tokens_per_second=tokens / max(seconds, 1e-9),
        seconds=seconds,
        seconds_left=seconds / done * (steps - done),
    )
