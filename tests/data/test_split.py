"""Doubles are found, and what is alike stays on one side of a split: laws, and the real file they were set for."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metier.contracts import Sample, UsageError
from metier.data.deduplicate import deduplicate, sample_text, value_text
from metier.data.load import load_samples
from metier.data.near_duplicates import NEAR, jaccard, normal, shingles
from metier.data.split import input_key, select, split

DEVSET = Path(__file__).parents[3] / "shared" / "data" / "e2e" / "devset.csv"


def sample(facts: str, text: str = "A warm mug for the morning, made by hand in a small pottery.") -> Sample:
    return Sample(task="demo.x", input={"facts": facts}, output={"text": text})


WORD = st.sampled_from(["mug", "lamp", "oak", "blue", "warm", "small", "手工", "陶瓷", "杯子", "蓝色", "desk", "café"])
TEXTS = st.lists(WORD, min_size=1, max_size=9).map(" ".join)
SAMPLES = st.lists(st.builds(sample, TEXTS, TEXTS), min_size=1, max_size=24)


@settings(deadline=None, max_examples=80)
@given(samples=SAMPLES, seed=st.integers(0, 5), share=st.floats(0, 1))
def test_a_split_loses_nothing_and_shares_no_input_nor_a_near_duplicate_of_one(samples, seed, share):
    wanted = round(share * len({input_key(s) for s in samples}))
    try:
        train, held_out = split(samples, wanted, seed)
    except UsageError:
        return
    assert sorted(map(sample_text, train + held_out)) == sorted(map(sample_text, samples))
    assert len({input_key(s) for s in held_out}) <= wanted
    for a in held_out:
        for b in train:
            for part in (lambda s: normal(value_text(s.input)), sample_text):
                assert jaccard(shingles(part(a)), shingles(part(b))) < NEAR


@settings(deadline=None, max_examples=40)
@given(samples=SAMPLES, seed=st.integers(0, 5))
def test_a_split_depends_on_the_texts_of_the_samples_and_not_on_their_order(samples, seed):
    wanted = len({input_key(s) for s in samples}) // 2
    try:
        one, other = split(samples, wanted, seed), split(samples[::-1], wanted, seed)
    except UsageError:
        return
    assert sorted(map(sample_text, one.held_out)) == sorted(map(sample_text, other.held_out))


@settings(deadline=None, max_examples=60)
@given(samples=SAMPLES, n=st.integers(0, 30), seed=st.integers(0, 5), prefer=st.sampled_from(["random", "central"]))
def test_select_takes_distinct_inputs_first_and_a_smaller_draw_begins_a_larger_one(samples, n, seed, prefer):
    chosen = select(samples, n, seed, prefer=prefer)
    assert len(chosen) == min(n, len(samples))
    distinct = len({input_key(s) for s in samples})
    assert len({input_key(s) for s in chosen}) == min(n, distinct)
    assert select(samples, n + 3, seed, prefer=prefer)[: len(chosen)] == chosen


@settings(deadline=None, max_examples=60)
@given(samples=SAMPLES)
def test_deduplicating_keeps_a_twin_of_all_it_drops_and_twice_is_once(samples):
    kept, dropped = deduplicate(samples)
    assert len(kept) + len(dropped) == len(samples)
    assert all(any(d.twin is k for k in kept) for d in dropped)
    assert deduplicate(kept).kept == kept


def test_doubles_are_exact_or_near_and_chinese_is_compared_by_characters():
    long = "手工制作的蓝色陶瓷杯，容量三百毫升，适合早晨的咖啡，也适合下午的红茶，每一只都略有不同，底部刻有名字"
    samples = [sample(long), sample(long.replace("，", ",")), sample(long + "。"), sample("一盏橡木台灯")]
    kept, dropped = deduplicate(samples)
    assert kept == [samples[0], samples[3]]
    assert [(d.reason, d.twin) for d in dropped] == [("exact", samples[0]), ("near", samples[0])]


def test_one_text_with_two_labels_is_not_a_near_duplicate():
    text = "The courier came twice, rang once, and left the parcel with a neighbour whom nobody has seen since."
    assert len(deduplicate([sample(text, "spam"), sample(text, "ham")]).kept) == 2


def test_the_most_central_reference_comes_first():
    texts = ["A blue mug for tea.", "Buy now, limited offer!", "A blue mug, made for tea.", "A mug in blue for tea."]
    (first,) = select([sample("blue mug", t) for t in texts], 1, seed=1, prefer="central")
    assert "mug" in first.output["text"]


def test_more_held_out_inputs_than_there_are_is_refused():
    with pytest.raises(UsageError, match="cannot hold out 3 of 2 distinct inputs"):
        split([sample("a"), sample("b")], 3, 0)


@pytest.mark.skipif(not DEVSET.is_file(), reason="the E2E devset is not beside the repository")
def test_the_e2e_devset_does_not_collapse_and_gives_sixty_inputs(task):
    samples = list(load_samples(task, DEVSET, columns={"mr": "facts", "ref": "text"}))
    train, held_out = split(samples, 60, 0)
    inputs = {input_key(s) for s in held_out}
    assert len(inputs) == 60
    assert not inputs & {input_key(s) for s in train}
    assert len(train) > 4000
    assert len({input_key(s) for s in select(train, 240, 0)}) == 240
