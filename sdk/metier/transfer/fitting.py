"""The steps of learning: the head alone over features that are computed once, and head and base together. It knows
items and weights; folders and cards are others' business."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from metier.adapt.loop import Progress
from metier.adapt.schedule import batches, learning_rate
from metier.contracts import UsageError
from metier.transfer.headed import AT_ONCE, Headed, Item
from metier.transfer.states import States
from metier.transfer.tokens import padded

Told = Callable[[Progress], None]

_HEAD_BATCH = 64
"""Items per step while the head alone learns, at most; of few samples a sixteenth, so that an epoch is 16 steps or
more: with one step an epoch, a head of 48 samples had learnt nothing after a hundred."""
_HEAD_SHARE = 0.1
"""Of the head's own rate while the base learns: it fits already, and is to follow."""
_MIX_SHARE = 0.1
"""Of the head's rate for the mixing weights. At the full rate they run to the layer that is learnt by heart soonest;
the mean of all layers does better than that (measured on banking77, 10 samples an intent)."""


@dataclass
class Figures:
    """What a run cost, in seconds, and where its loss ended, in nats per labelled thing."""

    features_seconds: float = 0.0
    """Once: the untouched base over every sample."""
    head_seconds: float = 0.0
    epoch_seconds: list[float] = field(default_factory=list)
    """Of epochs in which the base learns, or of the head's alone with `features`."""
    losses: list[float] = field(default_factory=list)
    steps: int = 0
    tokens: int = 0
    cached_bytes: int = 0


def fit_head(
    headed: Headed,
    items: Sequence[Item],
    path: Path,
    limit: int,
    figures: Figures,
    epochs: int,
    progress: Told | None = None,
) -> None:
    """Fit the head alone, from nothing, over features of the base as it stands.

    Args:
        headed: base and head.
        items: to learn from.
        path: file for the features, gone at the end.
        limit: bytes it may take.
        figures: what is told of it.
        epochs: passes over the features.
        progress: called after every one.

    Raises:
        UsageError: the features take more than the limit.
    """
    settings = headed.recipe.head
    torch.nn.init.zeros_(headed.head.out.weight)
    torch.nn.init.zeros_(headed.head.out.bias)
    with States(path, limit) as states:
        began = time.perf_counter()
        with headed.resting():
            for part in alike(items):
                found = headed.features([items[i] for i in part])
                things = [headed.labelled(items[i]) for i in part]
                for i, features in zip(part, torch.split(found, things), strict=True):
                    if not states.keep(i, features):
                        raise UsageError(
                            f"features of {len(items)} samples take more than {limit / 1e9:.1f} GB",
                            remedy="give fewer samples, or fewer layers in the recipe",
                        )
            headed.head.take_scale(*_scale(states, len(items)))
        figures.features_seconds += time.perf_counter() - began
        figures.cached_bytes = max(figures.cached_bytes, states.kept)
        optimiser = torch.optim.AdamW(_groups(headed, 1.0), lr=0.0)
        targets = [torch.tensor(item.targets) for item in items]
        size = max(1, min(_HEAD_BATCH, len(items) // 16))
        plan = headed.recipe.model_copy(
            update={"epochs": epochs, "batch_size": size, "learning_rate": settings.learning_rate}
        )
        order = batches(plan, [""] * len(items))
        per_epoch = -(-len(items) // size)
        began = epoch_began = time.perf_counter()
        for step, part in enumerate(order):
            features = torch.cat([states.get(i) for i in part]).to(headed.trunk.device)
            loss = cross_entropy(headed.head(features), torch.cat([targets[i] for i in part]).to(features.device))
            rate = learning_rate(plan, step, len(order))
            _step(optimiser, loss, rate)
            if (step + 1) % per_epoch == 0:
                now = time.perf_counter()
                if headed.recipe.method == "features":
                    figures.epoch_seconds.append(now - epoch_began)
                    figures.losses.append(float(loss.detach()))
                epoch_began = now
                if progress:
                    progress(_progress(step + 1, len(order), epochs, float(loss.detach()), rate, began, 0))
        figures.head_seconds += time.perf_counter() - began
        figures.steps += len(order)


def fit_both(headed: Headed, items: Sequence[Item], states: States, figures: Figures) -> Iterator[Progress]:
    """Train head and base together. Layers below the first that learns are computed once a text."""
    recipe, trunk = headed.recipe, headed.trunk
    per_epoch = -(-len(items) // recipe.batch_size)
    order = _by_length(batches(recipe, [""] * len(items)), items, per_epoch, recipe.seed)
    learnt = list(trunk.weights().values())
    optimiser = torch.optim.AdamW(
        [
            {"params": learnt, "weight_decay": recipe.weight_decay},
            *_groups(headed, _HEAD_SHARE * recipe.head.learning_rate / recipe.learning_rate),
        ],
        lr=0.0,
        fused=True,
    )
    torch.manual_seed(recipe.seed)
    trunk.model.train()
    began = epoch_began = time.perf_counter()
    for step, part in enumerate(order):
        some = [items[i] for i in part]
        features = headed.features(some, _states(headed, part, some, states) if trunk.frozen else None)
        targets = torch.tensor([k for item in some for k in item.targets], device=features.device)
        loss = cross_entropy(headed.head(features), targets)
        rate = learning_rate(recipe, step, len(order))
        _step(optimiser, loss, rate, [*learnt, *headed.head.parameters()], recipe.max_grad_norm)
        if step == 0:  # what no gradient reached, such as an encoder's pooler, is not part of what learns
            for weight in learnt:
                weight.requires_grad_(weight.grad is not None)
        optimiser.zero_grad(set_to_none=True)
        figures.losses.append(float(loss.detach()))
        figures.tokens += sum(map(len, some))
        if (step + 1) % per_epoch == 0:
            now = time.perf_counter()
            figures.epoch_seconds.append(now - epoch_began)
            epoch_began = now
        yield _progress(step + 1, len(order), recipe.epochs, figures.losses[-1], rate, began, figures.tokens)
    figures.steps += len(order)
    trunk.model.eval()


_WINDOW = 8
"""Batches whose items are put together by length: padding falls to a few per cent, and the draw stays random enough."""


def _by_length(order: list[list[int]], items: Sequence[Item], per_epoch: int, seed: int) -> list[list[int]]:
    """The same items in the same epochs, texts of like length in one batch, batches in a seeded order."""
    found: list[list[int]] = []
    for epoch in range(0, len(order), per_epoch):
        batches_of_it = order[epoch : epoch + per_epoch]
        for start in range(0, len(batches_of_it), _WINDOW):
            window = batches_of_it[start : start + _WINDOW]
            ranked = sorted((i for part in window for i in part), key=lambda i: max(len(r.ids) for r in items[i].rows))
            sizes = [len(part) for part in window]
            cuts = [0, *accumulate(sizes)]
            mixed = [ranked[a:b] for a, b in pairwise(cuts)]
            random.Random(f"{seed} {epoch} {start}").shuffle(mixed)
            found += mixed
    return found


def _groups(headed: Headed, share: float) -> list[dict[str, Any]]:
    """The head's weights as the optimiser takes them; `share` of the rate of its steps."""
    out = list(headed.head.out.parameters())
    return [
        {"params": out, "weight_decay": headed.recipe.head.weight_decay, "share": share},
        {"params": [headed.head.mix], "weight_decay": 0.0, "share": _MIX_SHARE * share},
    ]


def _states(headed: Headed, part: Sequence[int], some: Sequence[Item], kept: States) -> Tensor:
    """Hidden states over what the frozen layers said of each text, kept from its first time on."""
    rows = [(2 * i + side, row) for i, item in zip(part, some, strict=True) for side, row in enumerate(item.rows)]
    new = [(number, row) for number, row in rows if number not in kept]
    fresh: dict[int, Tensor] = {}
    if new:
        with headed.resting():
            found = headed.trunk.below(padded([row for _, row in new], headed.trunk.device))
        for (number, row), said in zip(new, found, strict=True):
            fresh[number] = said[: len(row.ids)]
            kept.keep(number, fresh[number])
    batch = headed.batch(some)
    below = torch.zeros(*batch.ids.shape, headed.trunk.width, device=batch.ids.device)
    for place, (number, row) in enumerate(rows):
        below[place, : len(row.ids)] = fresh[number] if number in fresh else kept.get(number)
    return headed.trunk.above(batch, below)


def _step(
    optimiser: torch.optim.Optimizer,
    loss: Tensor,
    rate: float,
    clipped: Sequence[Tensor] = (),
    max_norm: float | None = None,
) -> None:
    if max_norm is None:
        optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    if max_norm is not None:
        torch.nn.utils.clip_grad_norm_(clipped, max_norm)
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get("share", 1.0)
    optimiser.step()


def alike(items: Sequence[Item]) -> Iterator[list[int]]:
    """Numbers of the items, in batches of like length: least padding."""
    order = sorted(range(len(items)), key=lambda i: len(items[i]))
    for start in range(0, len(order), AT_ONCE):
        yield order[start : start + AT_ONCE]


def _scale(states: States, count: int) -> tuple[Tensor, Tensor]:
    """Mean and deviation of the features, each [read, width], over all samples, groups and words."""
    total, squares, things = torch.zeros(()), torch.zeros(()), 0
    for i in range(count):
        found = states.get(i).double()  # [things, read, groups, width]
        total = total + found.sum((0, 2))
        squares = squares + found.square().sum((0, 2))
        things += found.shape[0] * found.shape[2]
    mean = total / things
    return mean.float(), (squares / things - mean.square()).clamp_min(0).sqrt().float()


def _progress(step: int, steps: int, epochs: float, loss: float, rate: float, began: float, tokens: int) -> Progress:
    seconds = time.perf_counter() - began
    return Progress(
        step=step,
        steps=steps,
        epoch=epochs * step / steps,
        loss=loss,
        learning_rate=rate,
        tokens_per_second=tokens / max(seconds, 1e-9),
        seconds=seconds,
        seconds_left=seconds / step * (steps - step),
    )
