"""Head and base learning together, over what the frozen layers said, step by step from a checkpoint where there is one.
It knows items and weights; cards are others' business."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from metier.contracts import UsageError
from metier.heads.feature_training import Figures, head_groups, over_frozen, progress, step
from metier.heads.head_model import HeadModel, Item
from metier.training import checkpoint
from metier.training.hidden_state_cache import HiddenStateCache
from metier.training.loop import Progress
from metier.training.schedule import batches, learning_rate

_WINDOW = 8
"""Batches whose items are put together by length: padding falls to a few per cent, and the draw stays random enough."""


class JointTraining:
    """A run of training: iterate over it. Every step is repeatable from a checkpoint bit by bit."""

    def __init__(
        self,
        head_model: HeadModel,
        items: Sequence[Item],
        frozen: HiddenStateCache,
        figures: Figures,
        folder: Path,
        run: str,
    ) -> None:
        """Take up the checkpoint in `folder` where there is one.

        Args:
            head_model: base and head, from `begin`.
            items: to learn from.
            frozen: what the frozen layers said of each text, from `begin`.
            figures: what is told of it; a checkpoint's stand in its place.
            folder: where checkpoints go.
            run: fingerprint; a checkpoint of another run is refused.

        Raises:
            UsageError: the checkpoint belongs to another run, or is damaged.
        """
        recipe = head_model.recipe
        self.head_model, self.items, self.frozen, self.figures = head_model, items, frozen, figures
        self.folder, self.run = folder, run
        self.per_epoch = -(-len(items) // recipe.batch_size)
        self.order = _by_length(batches(recipe, [""] * len(items)), items, self.per_epoch, recipe.seed)
        self.learnt = head_model.trunk.weights()
        own = {"params": list(self.learnt.values()), "weight_decay": recipe.weight_decay}
        share = recipe.head.learning_rate / recipe.learning_rate
        self.optimiser = torch.optim.AdamW([own, *head_groups(head_model, share)], lr=0.0, fused=True)
        if (saved := checkpoint.load(folder)) is not None:
            self._restore(*saved)

    def __iter__(self) -> Iterator[Progress]:
        recipe, figures, model = self.head_model.recipe, self.figures, self.head_model.trunk.model
        model.train()
        saved = time.monotonic()
        while figures.steps < len(self.order):
            began = time.perf_counter()
            rate = learning_rate(recipe, figures.steps, len(self.order))
            figures.losses.append(self._step(self.order[figures.steps], rate))
            if figures.steps % self.per_epoch == 0:
                figures.epoch_seconds.append(0.0)
            figures.steps += 1
            figures.epoch_seconds[-1] += time.perf_counter() - began
            yield progress(
                figures.steps, len(self.order), recipe.epochs, figures, rate, sum(figures.epoch_seconds), figures.tokens
            )
            if figures.steps < len(self.order) and time.monotonic() - saved >= recipe.checkpoint_seconds:
                self.save()
                saved = time.monotonic()
        model.eval()

    def save(self) -> None:
        """Write a checkpoint of this moment."""
        tensors: dict[str, Tensor] = {}
        for name, weight in self._weights().items():
            if moments := self.optimiser.state.get(weight):
                tensors |= {f"first.{name}": moments["exp_avg"], f"second.{name}": moments["exp_avg_sq"]}
                tensors[f"weight.{name}"] = weight
        tensors |= {"mean": self.head_model.head.mean, "deviation": self.head_model.head.deviation}
        checkpoint.save(self.folder, tensors, {"run": self.run, "figures": asdict(self.figures)})

    def _step(self, part: Sequence[int], rate: float) -> float:
        head_model, some = self.head_model, [self.items[i] for i in part]
        # A seed per step, so that a resumed run drops out what the unbroken one would have.
        torch.manual_seed((head_model.recipe.seed << 32) + self.figures.steps)
        states = over_frozen(head_model, part, some, self.frozen) if head_model.trunk.frozen else None
        features = head_model.features(some, states)
        targets = torch.tensor([k for item in some for k in item.targets], device=features.device)
        loss = cross_entropy(head_model.head(features), targets)
        self.optimiser.zero_grad(set_to_none=True)  # a first head's last gradients among them
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._weights().values(), head_model.recipe.max_grad_norm)
        step(self.optimiser, rate)
        if self.figures.steps == 0:  # what no gradient reached, such as an encoder's pooler, is not part of what learns
            for weight in self.learnt.values():
                weight.requires_grad_(weight.grad is not None)
        self.figures.tokens += sum(map(len, some))
        return float(loss.detach())

    def _weights(self) -> dict[str, Tensor]:
        head = {f"head.{name}": weight for name, weight in self.head_model.head.named_parameters()}
        return {**{f"trunk.{name}": weight for name, weight in self.learnt.items()}, **head}

    def _restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        if facts["run"] != self.run:
            raise UsageError(
                "the folder holds the checkpoint of a run with another recipe, data or base",
                where=str(self.folder),
                remedy="choose another output folder, or start over without resuming",
            )
        for name, value in facts["figures"].items():
            setattr(self.figures, name, value)
        with torch.no_grad():
            self.head_model.head.mean.copy_(tensors["mean"])
            self.head_model.head.deviation.copy_(tensors["deviation"])
            for name, weight in self._weights().items():
                if f"weight.{name}" not in tensors:
                    weight.requires_grad_(False)
                    continue
                weight.copy_(tensors[f"weight.{name}"])
                self.optimiser.state[weight] = {
                    "step": torch.tensor(float(self.figures.steps), device=weight.device),
                    "exp_avg": tensors[f"first.{name}"].to(weight.device),
                    "exp_avg_sq": tensors[f"second.{name}"].to(weight.device),
                }


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
