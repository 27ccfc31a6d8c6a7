"""Supervised training on examples: batches, held-out losses, the best weights. `StepLoop` has steps and checkpoints."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metier.contracts import Recipe
from metier.training.examples import Example
from metier.training.packing import micro_batches
from metier.training.progress import Progress
from metier.training.schedule import batches, evaluation_steps, learning_rate
from metier.training.step_loop import StepLoop
from metier.training.training_model import TrainingModel, mean_loss, reply_tokens

__all__ = ["Progress", "State", "Training", "Watching"]

Watching = Callable[[Any], dict[str, float]]
"""The model in training → figures of what it answers now, such as `metier.align.EvalCallback` takes them."""


@dataclass
class State:
    """All that a run has come to, besides tensors."""

    step: int = 0
    tokens: int = 0
    step_seconds: float = 0.0
    seconds: float = 0.0
    """Frozen layers, steps, evaluations and checkpoints, without model loading and the time between a kill and its
    resume."""
    begin_seconds: float = 0.0
    """Of these, frozen layers before the first step, and again at each resume."""
    cached_bytes: int = 0
    """Hidden states of the examples behind the frozen layers."""
    losses: list[float] = field(default_factory=list)
    best_loss: float | None = None
    best_step: int | None = None
    stale: int = 0
    """Evaluations since the best one."""
    most_tokens: int = 0
    """Tokens at once; part of a checkpoint, because another cut of a batch sums its gradient in another order."""
    stopped_early: bool = False


class Training(StepLoop):
    """A run over `examples`: iterate over it to train, then read `state`. Best weights are in place at the end."""

    def __init__(
        self,
        training_model: TrainingModel,
        examples: Sequence[Example],
        held_out: Sequence[Example],
        recipe: Recipe,
        folder: Path,
        *,
        run: str,
        most_tokens: int,
        watch: Watching | None = None,
    ) -> None:
        """Continue from the checkpoint in `folder` where there is one.

        Args:
            training_model: model with fresh trainable weights.
            examples: training examples in the data's order; the recipe's seed shuffles them.
            held_out: examples for the held-out loss; empty takes none, and the last weights are the result.
            recipe: schedule and seed.
            folder: of the checkpoint.
            run: fingerprint of recipe, data and base; a checkpoint of another one is refused.
            most_tokens: tokens at once in a fresh run.
            watch: called with the model at every evaluation.

        Raises:
            UsageError: the checkpoint belongs to another run, or is damaged.
        """
        super().__init__(recipe, folder, run)
        self.training_model, self.examples, self.held_out, self.watch = training_model, examples, held_out, watch
        self.order = batches(recipe, [example.task for example in examples])
        self.evaluations = evaluation_steps(recipe, len(self.order)) if held_out else frozenset()
        self.state = State(most_tokens=most_tokens)
        self.best: list[Tensor] = []
        self.optimiser = torch.optim.AdamW(training_model.weights, lr=0.0, weight_decay=recipe.weight_decay, fused=True)
        self.resume()

    @property
    def step(self) -> int:
        """Finished steps."""
        return self.state.step

    @property
    def steps(self) -> int:
        """Steps in all."""
        return len(self.order)

    @property
    def stopped(self) -> bool:
        """Whether the held-out loss has been stale for the recipe's patience."""
        return self.state.stopped_early

    def weights(self) -> dict[str, Tensor]:
        """The trained weights, by their place in a fixed order."""
        return {str(place): weight for place, weight in enumerate(self.training_model.weights)}

    def before_steps(self) -> None:
        """Compute hidden states of the frozen layers."""
        if self.step >= self.steps:
            return
        started = time.perf_counter()
        used = sorted({index for batch in self.order for index in batch})
        self.training_model.cache_frozen([*(self.examples[i] for i in used), *self.held_out])
        seconds = time.perf_counter() - started
        self.state.begin_seconds += seconds
        self.state.seconds += seconds
        frozen = self.training_model.frozen
        self.state.cached_bytes = frozen.cached_bytes if frozen else 0

    def take_step(self) -> Progress:
        """Train on one batch; evaluate after it where the schedule has an evaluation."""
        state, steps, started = self.state, self.steps, time.perf_counter()
        batch = [self.examples[i] for i in self.order[state.step]]
        rate = learning_rate(self.recipe, state.step, steps)
        state.losses.append(self._train(batch, rate))
        state.step += 1
        state.tokens += sum(map(len, batch))
        state.step_seconds += time.perf_counter() - started
        evaluated = state.step in self.evaluations
        held_out_loss = self._evaluate() if evaluated else None
        answers = self.watch(self.training_model.adapted) if evaluated and self.watch else None
        state.seconds += time.perf_counter() - started
        return Progress(
            step=state.step,
            steps=steps,
            epoch=self.recipe.epochs * state.step / steps,
            loss=state.losses[-1],
            learning_rate=rate,
            tokens_per_second=state.tokens / state.step_seconds,
            seconds=state.seconds,
            seconds_left=(state.seconds - state.begin_seconds) / state.step * (steps - state.step),
            held_out_loss=held_out_loss,
            answers=answers,
        )

    def after_steps(self) -> None:
        """Put the best weights in place."""
        if self.best:
            with torch.no_grad():
                for weight, best in zip(self.training_model.weights, self.best, strict=True):
                    weight.copy_(best)

    def save(self) -> None:
        """Write a checkpoint of this moment."""
        started = time.perf_counter()
        super().save()
        self.state.seconds += time.perf_counter() - started

    def state_values(self) -> dict[str, Any]:
        """`state`."""
        return asdict(self.state)

    def more_tensors(self) -> dict[str, Tensor]:
        """The best weights so far."""
        return {f"best.{place}": weight for place, weight in enumerate(self.best)}

    def restore_state(self, values: dict[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """See `StepLoop.restore_state`."""
        self.state = State(**values)
        if "best.0" in tensors:
            weights = self.training_model.weights
            self.best = [tensors[f"best.{place}"].to(weight.device) for place, weight in enumerate(weights)]

    def _train(self, batch: list[Example], rate: float) -> float:
        if self.recipe.lora.dropout:
            # A seed per step, so that a resumed run draws what the unbroken one would have drawn.
            torch.manual_seed((self.recipe.seed << 32) + self.state.step)
        count, total = reply_tokens(batch), 0.0
        for part in micro_batches(batch, self.state.most_tokens):
            loss = self.training_model.loss(part) / count
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        self.update(rate)
        self.optimiser.zero_grad(set_to_none=True)
        return total

    def _evaluate(self) -> float:
        self.training_model.adapted.eval()
        loss = mean_loss(self.training_model, self.held_out, self.recipe.batch_size)
        self.training_model.adapted.train()
        state = self.state
        if state.best_loss is None or loss < state.best_loss:
            state.best_loss, state.best_step, state.stale = loss, state.step, 0
            self.best = [weight.detach().clone() for weight in self.training_model.weights]
        else:
            state.stale += 1
            state.stopped_early = self.recipe.patience is not None and state.stale >= self.recipe.patience
        return loss
