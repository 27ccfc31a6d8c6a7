"""The training core: optimiser steps, checkpoints and resumption, the same for text, heads and policies.

It knows weights, an optimiser and a folder. What a step computes is its subclass's; cards and prompts are others'.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metier.contracts import Recipe, UsageError
from metier.training import checkpoint
from metier.training.progress import Progress


class StepLoop(ABC):
    """A run of training: iterate over it. Every step is repeatable from a checkpoint bit by bit."""

    optimiser: torch.optim.Optimizer

    def __init__(self, recipe: Recipe, folder: Path, fingerprint: str) -> None:
        """Take settings; a subclass makes its optimiser and then calls `resume`.

        Args:
            recipe: schedule, clipping and seconds between checkpoints.
            folder: of the checkpoint.
            fingerprint: of recipe, data and base; a checkpoint of another one is refused.
        """
        self.recipe, self.folder, self.fingerprint = recipe, folder, fingerprint

    @property
    @abstractmethod
    def step(self) -> int:
        """Finished steps."""

    @property
    @abstractmethod
    def steps(self) -> int:
        """Steps in all."""

    @property
    def stopped(self) -> bool:
        """Whether the run ends before its last step."""
        return False

    @abstractmethod
    def weights(self) -> Mapping[str, Tensor]:
        """The trained weights by name."""

    @abstractmethod
    def take_step(self) -> Progress:
        """Train one step, and evaluate where the schedule has it."""

    @abstractmethod
    def state_values(self) -> dict[str, Any]:
        """All that the run has come to, besides tensors, as plain data."""

    @abstractmethod
    def restore_state(self, values: dict[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Take `state_values`, and `more_tensors`, of a checkpoint."""

    def more_tensors(self) -> dict[str, Tensor]:
        """Tensors to keep in a checkpoint beside the weights and the optimiser's moments."""
        return {}

    def before_steps(self) -> None:  # noqa: B027  optional
        """Called before the first step, and again after each resumption."""

    def after_steps(self) -> None:  # noqa: B027  optional
        """Called after the last step."""

    def __iter__(self) -> Iterator[Progress]:
        self.before_steps()
        saved = time.monotonic()
        while self.step < self.steps and not self.stopped:
            yield self.take_step()
            if self.step < self.steps and time.monotonic() - saved >= self.recipe.checkpoint_seconds:
                self.save()
                saved = time.monotonic()
        self.after_steps()

    def update(self, rate: float) -> None:
        """Clip the gradients and change the weights, at a learning rate or at a group's share of it."""
        torch.nn.utils.clip_grad_norm_(self.weights().values(), self.recipe.max_grad_norm)
        set_rate(self.optimiser, rate)
        self.optimiser.step()

    def save(self) -> None:
        """Write a checkpoint of this moment."""
        tensors = self.more_tensors()
        for name, weight in self.weights().items():
            if moments := self.optimiser.state.get(weight):
                tensors[f"weight.{name}"] = weight
                tensors |= {f"first.{name}": moments["exp_avg"], f"second.{name}": moments["exp_avg_sq"]}
        checkpoint.save(self.folder, tensors, {"run": self.fingerprint, "state": self.state_values()})

    def resume(self) -> None:
        """Continue from the checkpoint in the folder where there is one.

        A weight that it does not hold had no gradient, and is not trained.

        Raises:
            UsageError: the checkpoint belongs to another run, or is damaged.
        """
        saved = checkpoint.load(self.folder)
        if saved is None:
            return
        tensors, facts = saved
        if facts["run"] != self.fingerprint:
            raise UsageError(
                "the folder holds the checkpoint of a run with another recipe, data or base",
                where=str(self.folder),
                remedy="choose another output folder, or start over without resuming",
            )
        self.restore_state(facts["state"], tensors)
        with torch.no_grad():
            for name, weight in self.weights().items():
                if f"weight.{name}" not in tensors:
                    weight.requires_grad_(False)
                    continue
                weight.copy_(tensors[f"weight.{name}"])
                self.optimiser.state[weight] = {
                    "step": torch.tensor(float(self.step), device=weight.device),
                    "exp_avg": tensors[f"first.{name}"].to(weight.device),
                    "exp_avg_sq": tensors[f"second.{name}"].to(weight.device),
                }


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every group; one with a `share` takes that share of it."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get("share", 1.0)
