"""Joint training of a head and its base, over hidden states of the frozen layers.

It knows items and weights; steps and checkpoints are `StepLoop`'s, cards are others'.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from metier.heads.feature_training import Figures, head_groups, progress, states_over_frozen
from metier.heads.head_model import HeadModel, Item
from metier.training.hidden_state_cache import HiddenStateCache
from metier.training.progress import Progress
from metier.training.schedule import batches, learning_rate
from metier.training.step_loop import StepLoop

_WINDOW = 8
"""Batches whose items are put together by length: padding falls to a few per cent, and the draw stays random enough."""


class JointTraining(StepLoop):
    """A run of training head and base together: iterate over it."""

    def __init__(
        self,
        head_model: HeadModel,
        items: Sequence[Item],
        frozen: HiddenStateCache,
        figures: Figures,
        folder: Path,
        run: str,
    ) -> None:
        """Continue from the checkpoint in `folder` where there is one.

        Args:
            head_model: base and head, from `begin`.
            items: to train on.
            frozen: hidden states of each text behind the frozen layers, from `begin`.
            figures: costs and losses; a checkpoint's take their place.
            folder: of the checkpoint.
            run: fingerprint; a checkpoint of another run is refused.

        Raises:
            UsageError: the checkpoint belongs to another run, or is damaged.
        """
        recipe = head_model.recipe
        super().__init__(recipe, folder, run)
        self.head_model, self.items, self.frozen, self.figures = head_model, items, frozen, figures
        self.per_epoch = -(-len(items) // recipe.batch_size)
        self.order = _by_length(batches(recipe, [""] * len(items)), items, self.per_epoch, recipe.seed)
        self.base_weights = head_model.trunk.weights()
        own = {"params": list(self.base_weights.values()), "weight_decay": recipe.weight_decay}
        share = recipe.head.learning_rate / recipe.learning_rate
        self.optimiser = torch.optim.AdamW([own, *head_groups(head_model, share)], lr=0.0, fused=True)
        self.resume()

    @property
    def step(self) -> int:
        """Finished steps."""
        return self.figures.steps

    @property
    def steps(self) -> int:
        """Steps in all."""
        return len(self.order)

    def weights(self) -> dict[str, Tensor]:
        """The trained weights of base and head, by name."""
        head = {f"head.{name}": weight for name, weight in self.head_model.head.named_parameters()}
        return {**{f"trunk.{name}": weight for name, weight in self.base_weights.items()}, **head}

    def before_steps(self) -> None:
        """Put the base into training mode."""
        self.head_model.trunk.model.train()

    def after_steps(self) -> None:
        """Put the base back into evaluation mode."""
        self.head_model.trunk.model.eval()

    def take_step(self) -> Progress:
        """Train on one batch of items."""
        figures, started = self.figures, time.perf_counter()
        rate = learning_rate(self.recipe, figures.steps, self.steps)
        figures.losses.append(self._train(self.order[figures.steps], rate))
        if figures.steps % self.per_epoch == 0:
            figures.epoch_seconds.append(0.0)
        figures.steps += 1
        figures.epoch_seconds[-1] += time.perf_counter() - started
        seconds = sum(figures.epoch_seconds)
        return progress(figures.steps, self.steps, self.recipe.epochs, figures, rate, seconds, figures.tokens)

    def state_values(self) -> dict[str, Any]:
        """`figures`."""
        return asdict(self.figures)

    def more_tensors(self) -> dict[str, Tensor]:
        """The scale of the features."""
        return {"mean": self.head_model.head.mean, "deviation": self.head_model.head.deviation}

    def restore_state(self, values: dict[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """See `StepLoop.restore_state`."""
        for name, value in values.items():
            setattr(self.figures, name, value)
        with torch.no_grad():
            self.head_model.head.mean.copy_(tensors["mean"])
            self.head_model.head.deviation.copy_(tensors["deviation"])

    def _train(self, numbers: Sequence[int], rate: float) -> float:
        head_model, batch = self.head_model, [self.items[i] for i in numbers]
        # A seed per step, so that a resumed run drops out what the unbroken one would have.
        torch.manual_seed((self.recipe.seed << 32) + self.figures.steps)
        states = states_over_frozen(head_model, numbers, batch, self.frozen) if head_model.trunk.frozen else None
        features = head_model.features(batch, states)
        targets = torch.tensor([k for item in batch for k in item.targets], device=features.device)
        loss = cross_entropy(head_model.head(features), targets)
        self.optimiser.zero_grad(set_to_none=True)  # a first head's last gradients among them
        loss.backward()  # type: ignore[no-untyped-call]
        self.update(rate)
        if self.figures.steps == 0:  # a weight that no gradient reaches, such as an encoder's pooler, is not trained
            for weight in self.base_weights.values():
                weight.requires_grad_(weight.grad is not None)
        self.figures.tokens += sum(map(len, batch))
        return float(loss.detach())


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
