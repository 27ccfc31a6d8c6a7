"""Removes samples that repeat another one, and reports each with the reason and the sample it repeats."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Literal, NamedTuple

from metier.contracts.sample import Sample, Value
from metier.data.near_duplicates import NEAR, near_pairs, normal


class Dropped(NamedTuple):
    """A sample that was left out."""

    sample: Sample
    reason: Literal["exact", "near"]
    twin: Sample
    """The earlier sample that was kept."""


class Cleaned(NamedTuple):
    """What `deduplicate` gives."""

    kept: list[Sample]
    dropped: list[Dropped]


def deduplicate(samples: Iterable[Sample], threshold: float = NEAR) -> Cleaned:
    """Keep the first of each group of samples whose input and output together are the same, or nearly so.

    Args:
        samples: of one task or several; samples of different tasks or languages are never twins.
        threshold: Jaccard index of character 4-grams from which two are near-duplicates; above 1 only exact ones go.

    Returns:
        Kept samples in order, and the dropped ones, each with its twin among the kept.
    """
    kept: list[Sample] = []
    dropped: list[Dropped] = []
    first: dict[str, Sample] = {}
    for sample in samples:
        key = normal(sample_text(sample))
        if (twin := first.get(key)) is not None:
            dropped.append(Dropped(sample, "exact", twin))
        else:
            first[key] = sample
            kept.append(sample)
    if threshold > 1:
        return Cleaned(kept, dropped)
    twins: dict[int, int] = {}
    for later, earlier in near_pairs((sample_text(sample) for sample in kept), threshold):
        # A sample that is dropped itself cannot represent another one.
        if later not in twins and earlier not in twins and _same_kind(kept[later], kept[earlier]):
            twins[later] = earlier
    dropped += [Dropped(kept[later], "near", kept[earlier]) for later, earlier in twins.items()]
    return Cleaned([sample for place, sample in enumerate(kept) if place not in twins], dropped)


def sample_text(sample: Sample) -> str:
    """Input and output of a sample as one text."""
    return f"{sample.task}\n{sample.language or ''}\n{value_text(sample.input)}\n{value_text(sample.output)}"


def value_text(value: Value) -> str:
    """An input or output as one text, the same for equal values."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _same_kind(a: Sample, b: Sample) -> bool:
    # Near is not enough where an answer is a label: "spam" and "ham" differ in one letter and in everything.
    short = max(len(value_text(a.output)), len(value_text(b.output))) < 40
    return a.task == b.task and a.language == b.language and (not short or a.output == b.output)
