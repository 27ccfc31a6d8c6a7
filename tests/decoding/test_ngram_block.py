"""A reply contains no n-gram twice where its task, or its caller, forbids it."""

import numpy as np

from metier.decoding.ngram_block import NgramBlock, without
from metier.decoding.sampling import Sampler, Sampling


def test_only_the_token_that_would_complete_an_ngram_again_is_blocked() -> None:
    ngrams = NgramBlock(3)
    for token in (1, 2, 3, 9, 1, 2):
        ngrams.accept(token)
    assert ngrams.blocked() == {3}
    ngrams.accept(4)
    assert ngrams.blocked() == set()


def test_a_grammar_that_leaves_nothing_else_wins_over_the_block() -> None:
    allowed = np.array([False, True, False])
    assert without({1}, allowed, 3) is allowed
    assert list(without({1}, None, 3)) == [True, False, True]


def test_greedy_choice_takes_the_next_best_instead_of_a_repeat() -> None:
    sampler = Sampler(Sampling(no_repeat_ngram_size=1), prompt=[2], vocab_size=3)
    logits = np.array([1.0, 2.0, 3.0], np.float32)
    assert [sampler.pick(logits) for _ in range(3)] == [2, 1, 0], "tokens of the prompt are not blocked"


def test_the_task_sets_the_size_and_the_caller_can_override_it(engine) -> None:
    input = {"facts": "a red pan"}
    assert engine.request("tiny.copy", input).sampling.no_repeat_ngram_size == 0
    assert engine.request("tiny.copy", input, no_repeat_ngram_size=4).sampling.no_repeat_ngram_size == 4
    generation = engine.submit(engine.request("tiny.copy", input, no_repeat_ngram_size=1))
    generation.result()
    assert len(set(generation.ids)) == len(generation.ids)
