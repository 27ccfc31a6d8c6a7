"""What an answer is worth: by rule from a trade's checks, by a reward model, or a weighted sum of both.

The checks run through `contracts.run_checks`, as metrics and guards do: one implementation of what is wrong with an
answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from metier.align.reward_model import RewardModel
from metier.contracts import Base, Check, ContractError, TaskContract, Value
from metier.contracts.check import run_checks
from metier.prompting.reply import decode_reply


@dataclass(frozen=True)
class Answer:
    """One answer of a policy."""

    task: TaskContract
    input: Value
    prompt: tuple[int, ...]
    reply: tuple[int, ...]
    """Tokens of the reply; the end token is the last where the answer was ended and not cut."""
    text: str
    ended: bool
    output: Value | None = field(init=False)
    """None where it was cut, or is no valid reply of the task."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "output", _output(self.task, self.input, self.text) if self.ended else None)


@dataclass(frozen=True)
class Reward:
    """A function from answers to one number each, higher is better."""

    name: str
    """What it is, for a run's fingerprint: another reward is another run."""
    score: Callable[[Sequence[Answer]], list[float]]
    bases: tuple[Base, ...] = ()
    """Whose token ids it reads, where it reads token ids."""

    def __call__(self, answers: Sequence[Answer]) -> list[float]:
        return self.score(answers)


def rule_reward(checks: Sequence[Check]) -> Reward:
    """Rewards from 0 to 1 by a trade's checks: each check gives 1, or half of that again for every finding.

    So one finding less always pays, also in an answer that still has others; and an answer that is cut or no valid
    reply gets 0, since nothing can be shipped of it.
    """

    def reward(answers: Sequence[Answer]) -> list[float]:
        return [_by_rule(checks, answer) for answer in answers]

    return Reward("checks(" + ",".join(check.name for check in checks) + ")", reward)


def model_reward(model: RewardModel) -> Reward:
    """Rewards of a reward model, standardised: 0 is its mean over held-out answers, 1 one standard deviation."""

    def reward(answers: Sequence[Answer]) -> list[float]:
        return model.standard([[*answer.prompt, *answer.reply] for answer in answers])

    return Reward(f"model({model.card.weights_sha256})", reward, (model.card.base,))


def weighted(parts: Sequence[tuple[float, Reward]]) -> Reward:
    """The weighted sum of several rewards."""

    def reward(answers: Sequence[Answer]) -> list[float]:
        scored: list[Any] = [[weight * value for value in part(answers)] for weight, part in parts]
        return [float(sum(values)) for values in zip(*scored, strict=True)]

    bases = tuple(base for _, part in parts for base in part.bases)
    return Reward(" + ".join(f"{weight:g} {part.name}" for weight, part in parts), reward, bases)


def _by_rule(checks: Sequence[Check], answer: Answer) -> float:
    applicable = [check for check in checks if answer.task.name in check.tasks]
    if answer.output is None or not applicable:
        return float(answer.output is not None)
    found = run_checks(applicable, answer.input, answer.output)
    return sum(0.5 ** len(findings) for findings in found.values()) / len(applicable)


def _output(task: TaskContract, input: Value, text: str) -> Value | None:
    try:
        return decode_reply(task.for_input(input), text)
    except ContractError:
        return None
