"""Held-out samples grouped by input: an input with several outputs is one case with several references."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

from metier.contracts import Sample, TaskContract, UsageError, Value
from metier.prompting.reply import encode_reply


@dataclass(frozen=True)
class Case:
    """One input and all its references."""

    input: Value
    language: str
    references: tuple[Value, ...]
    reference_texts: tuple[str, ...]
    place: str | None = None


def cases_of(task: TaskContract, samples: Sequence[Sample]) -> list[Case]:
    """Samples grouped by identical input and language, in order of first appearance.

    Raises:
        ContractError: a sample does not satisfy the contract.
        UsageError: there are no samples.
    """
    if not samples:
        raise UsageError("there is nothing to evaluate on", remedy="pass held-out samples of the task")
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        task.check_sample(sample)
        groups.setdefault(f"{task.language_of(sample.input, sample.language)}\0{key_of(sample.input)}", []).append(
            sample
        )
    return [
        Case(
            input=first.input,
            language=task.language_of(first.input, first.language),
            references=tuple(s.output for s in group),
            reference_texts=tuple(encode_reply(task, s.output) for s in group),
            place=str(first.provenance) if first.provenance else None,
        )
        for group in groups.values()
        for first in group[:1]
    ]


def key_of(value: Value) -> str:
    """One text per JSON value, whatever the order of its keys."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def pick_shots(
    task: TaskContract, train: Sequence[Sample], cases: Sequence[Case], language: str, count: int, seed: int
) -> list[Sample]:
    """Worked samples of the task and one language to show before each input: distinct, none of them held out."""
    held_out = {key_of(case.input) for case in cases}
    fresh: dict[str, Sample] = {}
    for sample in train:
        if sample.task != task.name:
            continue
        key = key_of(sample.input)
        if task.language_of(sample.input, sample.language) == language and key not in held_out:
            fresh.setdefault(key, sample)
    pool = list(fresh.values())
    return random.Random(seed).sample(pool, min(count, len(pool)))
