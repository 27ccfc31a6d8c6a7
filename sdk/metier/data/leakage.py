"""Finds training samples that are too like the held-out data: a result on them would measure memory, not skill."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metier.contracts import Sample
from metier.data.deduplicate import sample_text, value_text
from metier.data.near_duplicates import NEAR, near_pairs, normal
from metier.data.pii import scrub_sample


def leaks(samples: Sequence[Sample], held_out: Sequence[Sample], threshold: float = NEAR) -> dict[int, Sample]:
    """Position of each sample that must not be trained on → the held-out sample it is like.

    The rule is the split's own: the inputs are the same, or nearly so, or input and output together are nearly the
    same. Case, width and white space do not count, nor does whether personal data was replaced: what a harvest made of
    an input is like that input.

    Args:
        samples: candidates, of any task.
        held_out: what is kept apart.
        threshold: Jaccard index of character 4-grams from which two texts are near-duplicates.
    """
    found: dict[int, Sample] = {}
    forms = [(form, sample) for sample in held_out for form in _forms(sample)]
    apart: dict[str, Sample] = {}
    for form, sample in forms:
        apart.setdefault(_input_text(form), sample)
    for place, sample in enumerate(samples):
        if (twin := apart.get(_input_text(sample))) is not None:
            found[place] = twin
    for text in (_input_text, sample_text):
        kept = list({text(form): sample for form, sample in forms}.items())
        new = [(place, text(sample)) for place, sample in enumerate(samples) if place not in found]
        pairs = near_pairs([normal(t) for t, _ in kept] + [normal(t) for _, t in new], threshold)
        for later, earlier in pairs:
            if earlier < len(kept) <= later:
                found.setdefault(new[later - len(kept)][0], kept[earlier][1])
    return found


def without_leaks(samples: Sequence[Sample], held_out: Sequence[Sample]) -> list[Sample]:
    """The samples that can be trained on, in order. See `leaks`."""
    found = leaks(samples, held_out)
    return [sample for place, sample in enumerate(samples) if place not in found]


def _forms(sample: Sample) -> list[Sample]:
    """The sample, and the sample without its personal data where it holds any."""
    clean, replaced = scrub_sample(sample)
    return [sample, clean] if replaced else [sample]


def _input_text(sample: Sample) -> str:
    return f"{sample.task}\n{value_text(_plain(sample.input))}"


def _plain(value: Any) -> Any:
    """Every string in it normalised on its own: white space at the end of a field counts as little as elsewhere."""
    if isinstance(value, str):
        return normal(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, dict) else value
