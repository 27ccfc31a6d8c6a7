"""A metric turns texts and references into one figure, and says so when it cannot."""

import pytest

from metier.contracts import PluginError, UsageError
from metier.plugins import Metric


def words(hypotheses: object, references: object) -> list[float]:
    return [float(len(text.split())) for text in hypotheses]  # type: ignore[attr-defined]


def test_scores_per_sample_are_averaged_and_a_corpus_score_is_used_unchanged() -> None:
    assert Metric("words", words).score(["a b", "a b c d"], [["x"], ["y", "z"]]) == 3.0
    assert Metric("share", lambda h, r: 0.25).score(["a"], [["x"]]) == 0.25


@pytest.mark.parametrize(("texts", "references"), [([], []), (["a"], []), (["a"], [[]])])
def test_a_sample_without_its_reference_is_an_error(texts: list[str], references: list[list[str]]) -> None:
    with pytest.raises(UsageError, match="at least one reference"):
        Metric("words", words).score(texts, references)


@pytest.mark.parametrize("result", [[1.0], float("nan"), None, "high"])
def test_a_metric_that_returns_something_else_is_named(result: object) -> None:
    with pytest.raises(PluginError, match="metric odd returned"):
        Metric("odd", lambda h, r: result).score(["a", "b"], [["x"], ["y"]])  # type: ignore[arg-type, return-value]
