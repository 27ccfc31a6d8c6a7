"""Seeded choice of samples, and a split into train and held-out sides with similar samples on one side."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

from metier.contracts.errors import UsageError
from metier.contracts.sample import Sample
from metier.data.deduplicate import sample_text, value_text
from metier.data.near_duplicates import NEAR, near_pairs, normal

Prefer = Literal["random", "central"]


class Split(NamedTuple):
    """Two sides that share no input, and no near-duplicate of one."""

    train: list[Sample]
    held_out: list[Sample]


def split(samples: Sequence[Sample], held_out: int, seed: int, *, threshold: float = NEAR) -> Split:
    """Keep `held_out` distinct inputs apart, with all their samples, and everything nearly like them.

    Samples belong together when their inputs are the same, or nearly so, or when input and output together are
    nearly the same. Groups are drawn in seeded order until the number is reached; a group that would
    exceed it is skipped, so that the number is met wherever groups allow it.

    Args:
        samples: in any order; both sides keep it.
        held_out: number of distinct inputs to keep apart; 0 keeps none.
        seed: of the draw. The draw depends on the samples' texts, not on their order.
        threshold: Jaccard index of character 4-grams from which two texts are near-duplicates.

    Raises:
        UsageError: there are not that many distinct inputs, or fewer than that are left outside the largest groups.
    """
    groups = groups_of(samples, threshold)
    inputs = [len({input_key(samples[i]) for i in group}) for group in groups]
    if held_out < 0 or held_out > sum(inputs):
        raise UsageError(
            f"cannot hold out {held_out} of {sum(inputs)} distinct inputs", remedy="hold out fewer, or give more rows"
        )
    names = [min(normal(sample_text(samples[i])) for i in group) for group in groups]
    order = sorted(range(len(groups)), key=names.__getitem__)
    random.Random(seed).shuffle(order)
    apart: set[int] = set()
    left = held_out
    for group in order:
        if 0 < inputs[group] <= left:
            apart.update(groups[group])
            left -= inputs[group]
    if held_out and not apart:
        raise UsageError(
            f"the inputs are so similar that {held_out} cannot be held out without near-duplicates in training",
            remedy="hold out more, or give more varied rows",
        )
    sides: tuple[list[Sample], list[Sample]] = ([], [])
    for place, sample in enumerate(samples):
        sides[place in apart].append(sample)
    return Split(*sides)


def select(samples: Sequence[Sample], n: int, seed: int, *, prefer: Prefer = "random") -> list[Sample]:
    """At most `n` samples: one of every distinct input first, then second outputs of the same inputs, and so on.

    Args:
        samples: several outputs of one input are several samples.
        n: how many; all of them, in seeded order, where there are no more.
        seed: of the draw; smaller draws with one seed are prefixes of larger ones.
        prefer: which output of an input comes first: a `random` one, or the most `central`, that which shares most
            words with its siblings.
    """
    rng = random.Random(seed)
    by_input: dict[str, list[Sample]] = {}
    for sample in samples:
        by_input.setdefault(input_key(sample), []).append(sample)
    inputs = sorted(by_input)
    rng.shuffle(inputs)
    for key in inputs:
        rng.shuffle(by_input[key])
        if prefer == "central":
            by_input[key] = by_centrality(by_input[key])
    chosen: list[Sample] = []
    for turn in range(max((len(group) for group in by_input.values()), default=0)):
        chosen += [by_input[key][turn] for key in inputs if turn < len(by_input[key])]
        if len(chosen) >= n:
            break
    return chosen[: max(0, n)]


def by_centrality(siblings: Sequence[Sample]) -> list[Sample]:
    """Samples of one input, the one whose output has the highest mean token F1 with the others' first."""
    if len(siblings) < 3:
        return list(siblings)  # of two, each is as far from the other
    bags = [Counter(re.findall(r"[\u3400-\u9fff]|\w+", normal(value_text(s.output)))) for s in siblings]
    means = [
        sum(_f1(bag, other) for j, other in enumerate(bags) if j != i) / (len(bags) - 1) for i, bag in enumerate(bags)
    ]
    return [siblings[i] for i in sorted(range(len(siblings)), key=lambda i: -means[i])]


def groups_of(samples: Sequence[Sample], threshold: float = NEAR) -> list[list[int]]:
    """Positions of samples that must stay together, as groups (union-find over likeness)."""
    parent = list(range(len(samples)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[str, int] = {}
    for place, sample in enumerate(samples):
        # What differs in case or width only is the same input to a reader, if not to `input_key`.
        parent[root(place)] = root(first.setdefault(normal(input_key(sample)), place))
    places = list(first.values())
    for a, b in near_pairs((normal(value_text(samples[i].input)) for i in places), threshold):
        parent[root(places[a])] = root(places[b])
    for a, b in near_pairs((sample_text(sample) for sample in samples), threshold):
        parent[root(a)] = root(b)
    groups: dict[int, list[int]] = {}
    for place in range(len(samples)):
        groups.setdefault(root(place), []).append(place)
    return list(groups.values())


def input_key(sample: Sample) -> str:
    """Equal for samples with the same task, language and input."""
    return f"{sample.task}\n{sample.language or ''}\n{value_text(sample.input)}"


def _f1(a: Counter[str], b: Counter[str]) -> float:
    shared = sum((a & b).values())
    return 2 * shared / (a.total() + b.total()) if shared else 0.0
