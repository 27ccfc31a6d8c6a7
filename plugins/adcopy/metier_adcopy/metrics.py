"""How well grades rank: a metric for `adcopy.search_match`, whose answers are only as good as the order they make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from metier.plugins import Metric
from metier_adcopy.tasks.search_match import GRADES

_WORST = len(GRADES)


def pairwise_accuracy(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Share of pairs of different true grades that the answers put in the right order, 0 to 100; a tie is half right.

    With two grades it is the area under the ROC curve (Hanley & McNeil 1982); with more, the share of concordant pairs
    (Goodman & Kruskal 1954) with ties split. Over all samples, not query by query: a metric sees texts only. An
    answer that is not a grade ranks below all. Where all true grades are equal there is nothing to order, which is 100.
    """
    pairs = Counter(
        (_place(refs[0]), _place(hypothesis)) for hypothesis, refs in zip(hypotheses, references, strict=True)
    )
    right = total = 0.0
    for (better, rank_of_better), n in pairs.items():
        for (worse, rank_of_worse), m in pairs.items():
            if better < worse:
                total += n * m
                right += (
                    n * m * (1.0 if rank_of_better < rank_of_worse else 0.5 if rank_of_better == rank_of_worse else 0.0)
                )
    return 100 * right / total if total else 100.0


def _place(text: str) -> int:
    grade = text.strip()
    return GRADES.index(grade) if grade in GRADES else _WORST  # type: ignore[arg-type]


METRICS = [Metric("pairwise_accuracy", pairwise_accuracy, title="Pairs in the right order")]
