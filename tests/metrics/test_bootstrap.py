"""The laws that bootstrap intervals obey."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from metier.metrics.bootstrap import interval, resample_weights, share_better


def means(values: np.ndarray, resamples: int = 1000, seed: int = 0) -> np.ndarray:
    return resample_weights(len(values), resamples, seed) @ values / len(values)


@settings(max_examples=60, deadline=None)
@given(arrays(float, st.integers(1, 40), elements=st.floats(-100, 100)), st.integers(0, 9))
def test_an_interval_holds_its_figure(values: np.ndarray, seed: int) -> None:
    found = interval(means(values, 200, seed))
    assert found.value == pytest.approx(values.mean())
    assert found.low <= found.value <= found.high


def test_more_inputs_narrow_the_interval_as_their_root() -> None:
    values = np.random.default_rng(0).normal(size=1600)
    widths = [(t := interval(means(values[:n]))).high - t.low for n in (25, 100, 400, 1600)]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] / widths[2] == pytest.approx(4, rel=0.4)
    assert widths[2] == pytest.approx(2 * 1.96 / np.sqrt(400), rel=0.2)


def test_higher_confidence_widens_the_interval() -> None:
    scores = means(np.random.default_rng(1).normal(size=50))
    narrow, wide = interval(scores, 0.5), interval(scores, 0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_the_same_seed_draws_the_same_and_another_one_does_not() -> None:
    assert (resample_weights(30, 50, 4) == resample_weights(30, 50, 4)).all()
    assert (resample_weights(30, 50, 4) != resample_weights(30, 50, 5)).any()


def test_each_resample_draws_as_many_inputs_as_there_are_and_the_first_row_is_all_of_them() -> None:
    weights = resample_weights(30, 50, 0)
    assert weights.shape == (51, 30) and (weights.sum(axis=1) == 30).all() and (weights[0] == 1).all()


def test_pairing_finds_a_small_steady_gain_that_separate_intervals_hide() -> None:
    rng = np.random.default_rng(2)
    before = rng.normal(50, 20, size=60)
    after = before + rng.normal(2, 1, size=60)
    a, b = means(before), means(after)
    assert interval(a).high > interval(b).low, "apart they overlap"
    assert interval(b - a).low > 0, "paired they do not"
    assert share_better(b, a, True) == 1 and share_better(b, a, False) == 0
