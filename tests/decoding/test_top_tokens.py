"""What the candidates of a row decide equals the decision of all logits; what they cannot decide is left open."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metier.decoding.sampling import Sampler, Sampling
from metier.decoding.top_tokens import Candidates, TokenScores, best_of


def reference(logits, sampling, random):
    """The definition, spelt out: sort every token, keep the best k, keep the nucleus, draw; where nothing is cut off,
    those above the 64th stand sorted and the others as they are."""
    order = np.lexsort((np.arange(len(logits)), -logits))
    if sampling.temperature == 0:
        return int(order[0])
    if 0 < sampling.top_k < len(logits):
        order = order[: sampling.top_k]
    elif sampling.top_p == 1 and len(logits) > 64:
        first = order[: int((logits > logits[order[63]]).sum())]
        order = np.concatenate([first, np.setdiff1d(np.arange(len(logits)), first)])
    scaled = logits[order].astype(np.float64) / sampling.temperature
    weights = np.exp(scaled - scaled[0])
    if sampling.top_p < 1:
        total = np.cumsum(weights)
        weights = weights[: int(np.searchsorted(total, sampling.top_p * total[-1])) + 1]
    edges = np.cumsum(weights)
    return int(order[min(int(np.searchsorted(edges, random.random() * edges[-1], "right")), len(edges) - 1)])


rows = st.builds(
    lambda seed, size, spread, grain: (
        np.round(np.random.default_rng(seed).standard_normal(size).astype(np.float32) * spread / grain).astype(
            np.float32
        )
        * np.float32(grain)
    ),
    st.integers(0, 2**32),
    st.sampled_from([5, 64, 65, 300, 2000]),
    st.sampled_from([0.5, 3.0, 12.0]),
    st.sampled_from([1e-6, 0.05, 1.0]),  # coarse grains make ties
)
samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.3, 1.0, 1.7]),
    top_k=st.sampled_from([0, 1, 5, 64, 65, 400]),
    top_p=st.sampled_from([0.05, 0.5, 0.9, 0.99, 1.0]),
    repetition_penalty=st.sampled_from([1.0, 1.0, 1.3, 0.8]),
    no_repeat_ngram_size=st.sampled_from([None, 1, 2]),
    seed=st.integers(0, 1000),
)


@settings(max_examples=400)
@given(rows, samplings, st.sampled_from([None, 0.9, 0.05]), st.integers(1, 64))
def test_candidates_and_all_logits_give_the_same_tokens(logits, sampling, share, count):
    """Through masks, penalties and repeats; a sampler that needs all logits draws the same number there."""
    size = len(logits)
    allowed = None
    if share is not None:
        allowed = np.random.default_rng(sampling.seed).random(size) < share
        allowed[size // 2] = True
    full, few = (Sampler(sampling, [0, size - 1], size) for _ in range(2))
    seen = best_of(logits, count, sampling.temperature or 1.0)
    # A device's sum over the row is float32's; and it may break ties at the border of the few as it likes.
    rough = Candidates(seen.ids, seen.values, seen.mass * (1 + 2e-6), seen.temperature, seen.every)
    for _ in range(4):
        assert few.choose(TokenScores(lambda: logits, rough), allowed) == full.pick(logits, allowed)


@settings(max_examples=300)
@given(rows, samplings)
def test_a_sampler_follows_the_definition(logits, sampling):
    plain = sampling.model_copy(update={"repetition_penalty": 1.0, "no_repeat_ngram_size": None})
    sampler, random = Sampler(plain, [], len(logits)), np.random.default_rng(plain.seed)
    assert [sampler.pick(logits) for _ in range(4)] == [reference(logits, plain, random) for _ in range(4)]


def few_of(logits, sampling):
    sampler = Sampler(sampling, [], len(logits))
    return sampler.pick_among(best_of(logits, 64, sampling.temperature or 1.0))


SURE = (np.arange(1000, dtype=np.float32) % 997) / 20


@pytest.mark.parametrize(
    ("sampling", "decided"),
    [
        ({}, True),
        ({"temperature": 1.0, "top_k": 40}, True),
        ({"temperature": 1.0, "top_p": 0.9}, True),
        ({"temperature": 0.7, "top_k": 40, "top_p": 0.9, "repetition_penalty": 1.1}, True),
        ({"temperature": 1.0, "top_k": 200}, False),
        ({"temperature": 1.0, "top_p": 0.99}, False),
        ({"temperature": 1.0}, True),
        ({"temperature": 9.0}, False),
        ({"repetition_penalty": 0.9}, False),
    ],
)
def test_the_candidates_decide_the_usual_settings_and_others_need_all_logits(sampling, decided):
    assert (few_of(SURE, Sampling(seed=1, **sampling)) is not None) == decided


def test_ties_at_the_last_candidate_are_left_open():
    assert few_of(np.zeros(1000, np.float32), Sampling()) is None
    few = Candidates(np.array([7, 3, 9]), np.array([2, 2, 1], np.float32), 10.0)
    assert Sampler(Sampling(), [], 1000).pick_among(few) == 3, "the lower id first, in whatever order they came"


@pytest.mark.parametrize("size", [40, 500, 513, 49152])
def test_the_best_tokens_of_a_row_are_those_of_a_full_sort(size: int) -> None:
    random = np.random.default_rng(size)
    rows = {
        "spread": random.normal(size=size),
        "ties": random.integers(0, 4, size).astype(float),
        "masked": np.where(np.arange(size) % 97, -np.inf, random.normal(size=size)),
        "in one place": np.where(np.arange(size) < 70, 9.0, 0.0) + random.normal(size=size),
    }
    for name, row in rows.items():
        logits = row.astype(np.float32)
        expected = np.argsort(-logits, kind="stable")[:64]
        assert best_of(logits, 64, 1.0).ids.tolist() == expected.tolist(), name
