"""A head over features of the untouched base: it starts at its classes' prototypes and is fitted alone.

It knows items and weights, neither files nor cards.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from metier.contracts import UsageError
from metier.heads.head_model import AT_ONCE, HeadModel, Item
from metier.heads.token_batch import padded
from metier.training.hidden_state_cache import HiddenStateCache
from metier.training.progress import Progress
from metier.training.schedule import batches, learning_rate
from metier.training.step_loop import set_rate

_HEAD_BATCH = 64
"""Most items per step of a head alone; of few samples a sixteenth, so that an epoch is 16 steps or more: with one step
an epoch, a head of 48 samples was untrained after a hundred."""
_MIX_SHARE = 0.1
"""Of the head's rate for the mixing weights. At the full rate they run to the layer that overfits soonest;
the mean of all layers is better (measured on banking77, 10 samples an intent)."""


@dataclass
class Figures:
    """What a run cost, in seconds, and where its loss ended, in nats per labelled thing."""

    begin_seconds: float = 0.0
    """Before the first epoch: the untouched base over every sample, its frozen layers and a first head included."""
    epoch_seconds: list[float] = field(default_factory=list)
    """Of epochs of joint training, or of the head alone with `features`."""
    losses: list[float] = field(default_factory=list)
    steps: int = 0
    tokens: int = 0
    cached_bytes: int = 0

    @property
    def seconds(self) -> float:
        """Of computing and training, without loading the base and the time between a kill and its resume."""
        return self.begin_seconds + sum(self.epoch_seconds)


def begin(
    head_model: HeadModel, items: Sequence[Item], features: HiddenStateCache, frozen: HiddenStateCache, figures: Figures
) -> None:
    """Cache the untouched base's features of every item, and set the head's scale and prototypes from them.

    Args:
        head_model: base and head.
        items: to train on.
        features: takes the features of each item.
        frozen: takes the frozen layers' hidden states of each text, up to its limit, where other layers are trained.
        figures: takes the cost.

    Raises:
        UsageError: the features take more than their limit.
    """
    began = time.perf_counter()
    with head_model.evaluating():
        for part in by_length(items):
            some = [items[i] for i in part]
            found = head_model.features(
                some, states_over_frozen(head_model, part, some, frozen) if head_model.trunk.frozen else None
            )
            things = [head_model.labelled(item) for item in some]
            for i, own in zip(part, torch.split(found, things), strict=True):
                if not features.store(i, own):
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
    figures.cached_bytes = features.size + frozen.size


def fit_head(
    head_model: HeadModel, items: Sequence[Item], features: HiddenStateCache, figures: Figures, epochs: int
) -> Iterator[Progress]:
    """Fit the head alone over cached features; one event per epoch."""
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
        set_rate(optimiser, rate)
        optimiser.step()
        if done % per_epoch == 0:
            now = time.perf_counter()
            figures.epoch_seconds.append(now - epoch_began)
            figures.losses.append(float(loss.detach()))
            epoch_began = now
            yield progress(done, len(order), epochs, figures, rate, now - began)
    figures.steps += len(order)


def head_groups(head_model: HeadModel, share: float) -> list[dict[str, Any]]:
    """The head's weights as groups of the optimiser, at a `share` of its rate."""
    head = head_model.head
    unbound = [head.sharpness] if head.bias is None else [head.sharpness, head.bias]
    return [
        {"params": [head.classes], "weight_decay": head_model.recipe.head.weight_decay, "share": share},
        {"params": unbound, "weight_decay": 0.0, "share": share},
        {"params": [head.mix], "weight_decay": 0.0, "share": _MIX_SHARE * share},
    ]


def states_over_frozen(
    head_model: HeadModel, part: Sequence[int], some: Sequence[Item], cache: HiddenStateCache
) -> Tensor:
    """Hidden states of items from the frozen layers' output of each text, which is cached from its first use on."""
    rows = [(2 * i + side, row) for i, item in zip(part, some, strict=True) for side, row in enumerate(item.rows)]
    fresh: dict[int, Tensor] = {}
    if new := [(number, row) for number, row in rows if number not in cache]:
        with head_model.evaluating():
            found = head_model.trunk.below(padded([row for _, row in new], head_model.trunk.device))
        for (number, row), states in zip(new, found, strict=True):
            fresh[number] = states[: len(row.ids)]
            cache.store(number, fresh[number])
    batch = head_model.batch(some)
    below = torch.zeros(*batch.ids.shape, head_model.trunk.width, device=batch.ids.device)
    for place, (number, row) in enumerate(rows):
        below[place, : len(row.ids)] = fresh[number] if number in fresh else cache.get(number)
    return head_model.trunk.above(batch, below)


def by_length(items: Sequence[Item]) -> Iterator[list[int]]:
    """Numbers of the items, in batches of similar length: least padding."""
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
    """The event of the last step, or of the last epoch of a head alone."""
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
