"""A reply holds no run of tokens twice where its task, or its caller, says so."""

import numpy as np

from metier.decoding.ngram_block import Repeats, without
from metier.decoding.sampling import Sampler, Sampling


def test_only_the_token_that_would_complete_a_run_again_is_blocked() -> None:
    repeats = Repeats(3)
    for token in (1, 2, 3, 9, 1, 2):
        repeats.take(token)
    assert repeats.blocked() == {3}
    repeats.take(4)
    assert repeats.blocked() == set()


def test_a_grammar_that_leaves_nothing_else_wins_over_the_block() -> None:
    allowed = np.array([False, True, False])
    assert without({1}, allowed, 3) is allowed
    assert list(without({1}, None, 3)) == [True, False, True]


def test_greedy_choice_takes_the_next_best_instead_of_a_repeat() -> None:
    sampler = Sampler(Sampling(no_repeat_ngram_size=1), prompt=[2], vocab_size=3)
    logits = np.array([1.0, 2.0, 3.0], np.float32)
    assert [sampler.pick(logits) for _ in range(3)] == [2, 1, 0], "the prompt's own tokens may be said"


def test_the_task_says_it_and_the_caller_may_say_otherwise(engine) -> None:
    given = {"facts": "a red pan"}
    assert engine.request("tiny.copy", given).sampling.no_repeat_ngram_size == 0
    assert engine.request("tiny.copy", given, no_repeat_ngram_size=4).sampling.no_repeat_ngram_size == 4
    generation = engine.submit(engine.request("tiny.copy", given, no_repeat_ngram_size=1))
    generation.result()
    assert len(set(generation.ids)) == len(generation.ids)
