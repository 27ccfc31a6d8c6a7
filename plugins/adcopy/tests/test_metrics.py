"""Grades are worth the order they make: the share of pairs that they put in the right order."""

from __future__ import annotations

import pytest

import metier_adcopy
from metier_adcopy.metrics import pairwise_accuracy
from metier_adcopy.tasks.search_match import GRADES

BEST_FIRST = [[grade] for grade in GRADES]


@pytest.mark.parametrize(
    ("hypotheses", "expected"),
    [
        (list(GRADES), 100.0),
        (list(reversed(GRADES)), 0.0),
        (["exact"] * 4, 50.0),
        (["exact", "exact", "irrelevant", "irrelevant"], 100 * 5 / 6),
        (["exact", "substitute", "complement", "nonsense"], 100.0),
        (["nonsense", "substitute", "complement", "irrelevant"], 50.0),
    ],
)
def test_a_pair_in_order_counts_one_a_tie_half_and_no_grade_ranks_last(hypotheses: list[str], expected: float) -> None:
    assert pairwise_accuracy(hypotheses, BEST_FIRST) == pytest.approx(expected)


def test_with_two_grades_it_is_the_area_under_the_curve() -> None:
    truth = [["exact"], ["exact"], ["irrelevant"], ["irrelevant"]]
    hypotheses = ["exact", "complement", "substitute", "irrelevant"]
    assert pairwise_accuracy(hypotheses, truth) == pytest.approx(75.0)


def test_where_all_are_equal_there_is_nothing_to_order() -> None:
    assert pairwise_accuracy(["exact", "irrelevant"], [["exact"], ["exact"]]) == 100.0


def test_the_plugin_returns_the_metric() -> None:
    (metric,) = metier_adcopy.metier_metrics()
    assert metric.score(list(GRADES), BEST_FIRST) == 100.0
