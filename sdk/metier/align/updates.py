"""The log of a policy's updates: figures of each update, readable, and what a killed run resumes from."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from metier.align.rewards import RolloutAnswer

LOG = "updates.jsonl"


@dataclass(frozen=True)
class Update:
    """Means over one update's answers; log-ratios in nats."""

    update: int
    score: float
    """Reward without the KL's share."""
    kl: float
    """Sum over an answer's tokens of ln π − ln π_ref."""
    beta: float
    """Weight of the KL."""
    length: float
    """Tokens of an answer."""
    drift: float
    """Mean distance of graph and torch in a token's log-probability."""
    policy_loss: float | None = None
    value_loss: float | None = None
    clipped: float | None = None
    """Share of tokens whose ratio left the clip range."""
    explained: float | None = None
    """Share of the returns' variance that the values explain."""
    entropy: float | None = None
    """Of the next token, in nats, over the update's steps: near 0 the policy explores nothing new."""
    moved: float | None = None
    """Largest approximate KL between a step's policy and the one that drew the answers, in nats per token."""
    steps: int | None = None
    """Optimiser steps; fewer than the epochs give where `kl_stop` ended the update."""
    watched: dict[str, float] | None = None
    """Figures of greedy answers to held-out inputs after the update; None where there was no evaluation."""


OnUpdate = Callable[[Update, int], None]
"""Called after an update with (update, number of updates in the run)."""


def record(log: Path, update: Update, answers: Sequence[RolloutAnswer], scores: Sequence[float]) -> None:
    """Append an update with its best and its worst answer, which show when a policy starts to game the reward."""
    order = sorted(range(len(scores)), key=scores.__getitem__)
    shown = [{"score": scores[i], "input": answers[i].input, "text": answers[i].text} for i in (order[-1], order[0])]
    with log.open("a", encoding="utf-8") as handle:
        handle.write(json.dumps({**asdict(update), "answers": shown}, ensure_ascii=False) + "\n")


def keep_until(log: Path, update: int) -> None:
    """Drop what a killed run wrote after its last checkpoint, a half-written line included."""
    lines = log.read_text("utf-8").split("\n")[:-1] if log.is_file() else []
    log.write_text("".join(f"{line}\n" for line in lines[:update]), "utf-8")


def read(log: Path) -> list[Update]:
    """The updates of a log."""
    names = {field.name for field in fields(Update)}
    rows = [json.loads(line) for line in log.read_text("utf-8").split("\n") if line]
    return [Update(**{name: value for name, value in row.items() if name in names}) for row in rows]


def figures_of(updates: Sequence[Update]) -> dict[str, float]:
    """Figures of a run for the card: means over its first and its last tenth."""
    share = max(1, len(updates) // 10)
    figures: dict[str, float] = {}
    for end, part in (("first", updates[:share]), ("last", updates[-share:])):
        for name in ("score", "kl", "length"):
            figures[f"{name}_{end}"] = sum(getattr(update, name) for update in part) / share
    return {**figures, "beta": updates[-1].beta, "drift": max(update.drift for update in updates)}
