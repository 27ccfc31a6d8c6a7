"""The training loop: one optimiser step after the other, each of them repeatable from a checkpoint bit by bit.

It knows examples and weights; files other than the checkpoint, prompts and cards are others' business.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metier.contracts import Recipe, UsageError
from metier.training import checkpoint
from metier.training.examples import Example
from metier.training.packing import micro_batches
from metier.training.schedule import batches, evaluation_steps, learning_rate
from metier.training.training_model import TrainingModel, mean_loss, reply_tokens


@dataclass(frozen=True)
class Progress:
    """What a step of training has come to. Losses in nats per reply token, times in seconds."""

    step: int
    steps: int
    epoch: float
    loss: float
    learning_rate: float
    tokens_per_second: float
    """Tokens of prompts and replies learnt from, per second of training steps."""
    seconds: float
    seconds_left: float
    held_out_loss: float | None = None
    """Only on steps that were followed by an evaluation."""
    answers: dict[str, float] | None = None
    """What was watched there: figures of answers to held-out inputs."""


Watching = Callable[[Any], dict[str, float]]
"""The model in training → figures of what it answers now, such as `metier.align.Watch` takes them."""


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
    """What frozen layers say of the examples."""
    losses: list[float] = field(default_factory=list)
    best_loss: float | None = None
    best_step: int | None = None
    stale: int = 0
    """Evaluations since the best one."""
    most_tokens: int = 0
    """Tokens at once; kept, because another cut of a batch sums its gradient in another order."""
    stopped_early: bool = False


class Training:
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
        """Take up the checkpoint in `folder` where there is one.

        Args:
            training_model: model with fresh LoRA weights.
            examples: training examples in the data's order; the recipe's seed shuffles them.
            held_out: examples for the held-out loss; empty takes none, and the last weights are the result.
            recipe: schedule and seed.
            folder: where checkpoints go.
            run: fingerprint of recipe, data and base; a checkpoint of another one is refused.
            most_tokens: tokens at once in a fresh run.
            watch: asked at every evaluation.

        Raises:
            UsageError: the checkpoint belongs to another run, or is damaged.
        """
        self.training_model, self.examples, self.held_out, self.recipe = training_model, examples, held_out, recipe
        self.folder, self.run, self.watch = folder, run, watch
        self.order = batches(recipe, [example.task for example in examples])
        self.state = State(most_tokens=most_tokens)
        self.best: list[Tensor] = []
        self.optimiser = torch.optim.AdamW(training_model.weights, lr=0.0, weight_decay=recipe.weight_decay, fused=True)
        if (saved := checkpoint.load(folder)) is not None:
            self._restore(*saved)

    def __iter__(self) -> Iterator[Progress]:
        state, recipe, steps = self.state, self.recipe, len(self.order)
        evaluations = evaluation_steps(recipe, steps) if self.held_out else frozenset()
        if state.step < steps:
            self._remember()
        saved = time.monotonic()
        while state.step < steps and not state.stopped_early:
            started = time.perf_counter()
            batch = [self.examples[i] for i in self.order[state.step]]
            rate = learning_rate(recipe, state.step, steps)
            state.losses.append(self._step(batch, rate))
            state.step += 1
            state.tokens += sum(map(len, batch))
            state.step_seconds += time.perf_counter() - started
            evaluated = state.step in evaluations
            held_out_loss = self._evaluate() if evaluated else None
            answers = self.watch(self.training_model.adapted) if evaluated and self.watch else None
            state.seconds += time.perf_counter() - started
            yield Progress(
                step=state.step,
                steps=steps,
                epoch=recipe.epochs * state.step / steps,
                loss=state.losses[-1],
                learning_rate=rate,
                tokens_per_second=state.tokens / state.step_seconds,
                seconds=state.seconds,
                seconds_left=(state.seconds - state.begin_seconds) / state.step * (steps - state.step),
                held_out_loss=held_out_loss,
                answers=answers,
            )
            if state.step < steps and time.monotonic() - saved >= recipe.checkpoint_seconds:
                started = time.perf_counter()
                self.save()
                state.seconds += time.perf_counter() - started
                saved = time.monotonic()
        if self.best:
            with torch.no_grad():
                for weight, best in zip(self.training_model.weights, self.best, strict=True):
                    weight.copy_(best)

    def save(self) -> None:
        """Write a checkpoint of this moment."""
        tensors: dict[str, Tensor] = {}
        for i, weight in enumerate(self.training_model.weights):
            moments = self.optimiser.state[weight]
            tensors |= {f"weight.{i}": weight, f"first.{i}": moments["exp_avg"], f"second.{i}": moments["exp_avg_sq"]}
        tensors |= {f"best.{i}": weight for i, weight in enumerate(self.best)}
        checkpoint.save(self.folder, tensors, {"run": self.run, "state": asdict(self.state)})

    def _remember(self) -> None:
        started = time.perf_counter()
        learnt = sorted({index for batch in self.order for index in batch})
        self.training_model.remember([*(self.examples[i] for i in learnt), *self.held_out])
        took = time.perf_counter() - started
        self.state.begin_seconds += took
        self.state.seconds += took
        self.state.cached_bytes = self.training_model.frozen.kept if self.training_model.frozen else 0

    def _step(self, batch: list[Example], rate: float) -> float:
        if self.recipe.lora.dropout:
            # A seed per step, so that a resumed run draws what the unbroken one would have drawn.
            torch.manual_seed((self.recipe.seed << 32) + self.state.step)
        count, total = reply_tokens(batch), 0.0
        for part in micro_batches(batch, self.state.most_tokens):
            loss = self.training_model.loss(part) / count
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(self.training_model.weights, self.recipe.max_grad_norm)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
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

    def _restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        if facts["run"] != self.run:
            raise UsageError(
                "the folder holds the checkpoint of a run with another recipe, data or base",
                where=str(self.folder),
                remedy="choose another output folder, or start over without resuming",
            )
        self.state = State(**facts["state"])
        with torch.no_grad():
            for i, weight in enumerate(self.training_model.weights):
                weight.copy_(tensors[f"weight.{i}"])
                self.optimiser.state[weight] = {
                    "step": torch.tensor(float(self.state.step), device=weight.device),
                    "exp_avg": tensors[f"first.{i}"].to(weight.device),
                    "exp_avg_sq": tensors[f"second.{i}"].to(weight.device),
                }
        if "best.0" in tensors:
            weights = self.training_model.weights
            self.best = [tensors[f"best.{i}"].to(weights[i].device) for i in range(len(weights))]
