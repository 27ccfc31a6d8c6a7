"""Rewards of answers: by rule from a trade's checks, by a reward model, or a weighted sum of both.

The checks run through `contracts.run_checks`, as metrics and retries do, so that all three count the same findings.
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
class RolloutAnswer:
    """One answer of the policy in training, with its decoded output."""

    task: TaskContract
    input: Value
    prompt: tuple[int, ...]
    reply: tuple[int, ...]
    """Tokens of the reply; the end token is the last where the answer is complete and not cut."""
    text: str
    ended: bool
    output: Value | None = field(init=False)
    """None where the answer was cut, or is not a valid reply of the task."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "output", _output(self.task, self.input, self.text) if self.ended else None)


@dataclass(frozen=True)
class Reward:
    """A function from answers to one number each, higher is better."""

    name: str
    """Identifies it in a run's fingerprint: another reward is another run."""
    score: Callable[[Sequence[RolloutAnswer]], list[float]]
    bases: tuple[Base, ...] = ()
    """Bases whose token ids it reads; empty where it reads text."""

    def __call__(self, answers: Sequence[RolloutAnswer]) -> list[float]:
        return self.score(answers)


def rule_reward(checks: Sequence[Check]) -> Reward:
    """Rewards from 0 to 1 by a trade's checks: a check gives 1, halved for every finding.

    One finding fewer always increases the reward, also where others remain. An answer that is cut or not a valid reply
    gets 0, since a product cannot use it.
    """

    def reward(answers: Sequence[RolloutAnswer]) -> list[float]:
        return [_by_rule(checks, answer) for answer in answers]

    return Reward("checks(" + ",".join(check.name for check in checks) + ")", reward)


def model_reward(model: RewardModel) -> Reward:
    """Rewards of a reward model, standardised: 0 is its mean over held-out answers, 1 one standard deviation."""

    def reward(answers: Sequence[RolloutAnswer]) -> list[float]:
        return model.standard([[*answer.prompt, *answer.reply] for answer in answers])

    return Reward(f"model({model.card.weights_sha256})", reward, (model.card.base,))


def weighted(parts: Sequence[tuple[float, Reward]]) -> Reward:
    """The weighted sum of several rewards."""

    def reward(answers: Sequence[RolloutAnswer]) -> list[float]:
        scored: list[Any] = [[weight * value for value in part(answers)] for weight, part in parts]
        return [float(sum(values)) for values in zip(*scored, strict=True)]

    bases = tuple(base for _, part in parts for base in part.bases)
    return Reward(" + ".join(f"{weight:g} {part.name}" for weight, part in parts), reward, bases)


def _by_rule(checks: Sequence[Check], answer: RolloutAnswer) -> float:
    applicable = [check for check in checks if answer.task.name in check.tasks]
    if answer.output is None or not applicable:
        return float(answer.output is not None)
    by_check = run_checks(applicable, answer.input, answer.output)
    return sum(0.5 ** len(findings) for findings in by_check.values()) / len(applicable)


def _output(task: TaskContract, input: Value, text: str) -> Value | None:
    try:
        return decode_reply(task.for_input(input), text)
    except ContractError:
        return None
