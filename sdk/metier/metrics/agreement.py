"""Whether an answer equals a reference: exact match, accuracy and F1 over labels, spans and fields.

An invalid reply agrees with nothing; it is never left out of the count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from pydantic import JsonValue

from metier.contracts import Value
from metier.metrics.bootstrap import Array, Weights
from metier.metrics.cases import Case, key_of
from metier.metrics.measures import Measure, Statistics, from_sums, mean_of
from metier.metrics.results import ReportedAnswer


def exact_match(case: Case, answer: ReportedAnswer) -> float:
    """1 where the answer is one of the references; white space around texts does not count."""
    return float(answer.output is not None and _plain(answer.output) in {_plain(r) for r in case.references})


def valid_reply(case: Case, answer: ReportedAnswer) -> float:
    """1 where the answer is a valid reply of the contract."""
    return float(answer.output is not None)


def _plain(value: Value) -> str:
    return key_of({k: v.strip() if isinstance(v, str) else v for k, v in value.items()})


def _label(value: Value) -> str:
    return str(next(iter(value.values()), ""))


def macro_f1(cases: Sequence[Case], answers: Sequence[ReportedAnswer], weights: Weights) -> Array:
    """Mean of the labels' F1, over labels that are in the references or answers of a resample, 0 to 100.

    With several references the answer is compared with the one it equals, else with the first.
    """
    pairs = []
    for case, answer in zip(cases, answers, strict=True):
        found = None if answer.output is None else _label(answer.output)
        wanted = [_label(r) for r in case.references]
        pairs.append((found if found in wanted else wanted[0], found))
    labels = sorted({label for pair in pairs for label in pair if label is not None})
    hit = np.array([[wanted == found == label for label in labels] for wanted, found in pairs], dtype=np.float64)
    size = np.array([[(wanted == k) + (found == k) for k in labels] for wanted, found in pairs], dtype=np.float64)
    hits, sizes = weights @ hit, weights @ size
    with np.errstate(divide="ignore", invalid="ignore"):
        f1 = np.where(sizes > 0, 2 * hits / sizes, 0.0)
    return np.asarray(100 * f1.sum(axis=-1) / np.maximum((sizes > 0).sum(axis=-1), 1))


def _f1_statistics(items: Callable[[Value], Counter[Any]]) -> Statistics:
    """`[inputs, 3]`: items in both, in the answer, in the reference that agrees best."""

    def counts(found: Counter[Any], wanted: Counter[Any]) -> tuple[float, float, float]:
        return float((found & wanted).total()), float(found.total()), float(wanted.total())

    def statistics(cases: Sequence[Case], answers: Sequence[ReportedAnswer]) -> Array:
        rows = []
        for case, answer in zip(cases, answers, strict=True):
            found: Counter[Any] = Counter() if answer.output is None else items(answer.output)
            rows.append(max((counts(found, items(r)) for r in case.references), key=_f1))
        return np.array(rows, dtype=np.float64)

    return statistics


def _f1(counts: tuple[float, float, float]) -> float:
    both, found, wanted = counts
    return 1.0 if found + wanted == 0 else 2 * both / (found + wanted)


def f1_score(sums: Array) -> Array:
    """Micro-averaged F1 of summed counts `[..., 3]`, 0 to 100; nothing expected and nothing found is perfect."""
    size = sums[..., 1] + sums[..., 2]
    return np.where(size == 0, 100.0, 200 * sums[..., 0] / np.maximum(size, 1))


def spans_of(value: Value) -> Counter[Any]:
    """(label, text) of an output's `spans`, white space normalised."""
    spans: Any = value.get("spans") or []
    return Counter((str(s.get("label")), " ".join(str(s.get("text", "")).split())) for s in spans)


def fields_of(value: Value) -> Counter[Any]:
    """(path, leaf) of a JSON value; list items have no position, so that their order does not count."""
    return Counter(_leaves(value, ""))


def _leaves(value: JsonValue, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, f"{path}[]")
    else:
        yield path, str(value).strip()


EXACT_MATCH = Measure("exact_match", "Exact match", mean_of(exact_match, 100))
ACCURACY = Measure("accuracy", "Accuracy", mean_of(exact_match, 100))
MACRO_F1 = Measure("macro_f1", "Macro-F1", macro_f1, unit="points")
SPAN_F1 = Measure("span_f1", "Span F1", from_sums(_f1_statistics(spans_of), f1_score), unit="points")
FIELD_F1 = Measure("field_f1", "Field F1", from_sums(_f1_statistics(fields_of), f1_score), unit="points")
VALID_REPLY = Measure("valid_reply", "Valid replies", mean_of(valid_reply, 100))
