"""The facts notation: what is read, what is refused, and that writing and reading agree."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.contracts import ContractError
from metier_adcopy.facts import Fact, known_facts, parse_facts, write_facts


def test_facts_come_in_order_with_blanks_trimmed() -> None:
    read = parse_facts("name[Alimentum],  area[ city centre ], familyFriendly[no]")
    assert read == [Fact("name", "Alimentum"), Fact("area", "city centre"), Fact("familyFriendly", "no")]


def test_a_comma_within_a_value_does_not_end_the_fact() -> None:
    assert parse_facts("notes[cocoa, orange peel], weight[1,000 g]") == [
        Fact("notes", "cocoa, orange peel"),
        Fact("weight", "1,000 g"),
    ]


def test_full_width_commas_and_a_trailing_comma_are_allowed() -> None:
    assert [f.key for f in parse_facts("名称[云眠枕]，高度[10厘米]、")] == ["名称", "高度"]


@pytest.mark.parametrize(
    "text", ["", "   ", "no brackets", "name[open", "name]x[", "a[b] c[d]", "[value]", "a[b[c]]", ","]
)
def test_what_is_no_list_of_facts_is_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(ContractError) as caught:
        parse_facts(text)
    assert caught.value.remedy


def test_the_message_quotes_where_reading_stopped() -> None:
    with pytest.raises(ContractError, match=r"area\(city centre\)"):
        parse_facts("name[Alimentum], area(city centre)")


def test_empty_and_placeholder_values_are_nothing_to_state_but_none_and_no_are() -> None:
    facts = known_facts({"facts": "a[], b[N/A], c[unknown], d[未知], e[none], f[no], g[0]"})
    assert [f.key for f in facts] == ["e", "f", "g"]


words = st.text(min_size=1).filter(lambda s: write_facts([(s, "x")]).strip("[x] "))


@given(st.lists(st.tuples(words, st.text()), min_size=1, max_size=8))
def test_whatever_is_written_can_be_read_back_fact_by_fact(pairs: list[tuple[str, str]]) -> None:
    written = write_facts(pairs)
    read = parse_facts(written)
    assert len(read) == len(pairs)
    assert write_facts(read) == written


def test_lines_and_semicolons_of_key_and_value_are_facts_too() -> None:
    named = [Fact("Name", "Fenwick pie dish"), Fact("Open", "9:30 to 5")]
    assert parse_facts("Name: Fenwick pie dish\nOpen: 9:30 to 5\n") == named
    assert parse_facts("- Name: Fenwick pie dish\n- Open: 9:30 to 5") == named
    assert parse_facts("Name: Fenwick pie dish; Open: 9:30 to 5") == named
    assert parse_facts("商品：折叠凳；承重：90公斤") == [Fact("商品", "折叠凳"), Fact("承重", "90公斤")]


def test_sentences_are_facts_without_a_key() -> None:
    assert parse_facts("The lamp is 4.5 cm tall. It costs £54.") == [
        Fact("", "The lamp is 4.5 cm tall"),
        Fact("", "It costs £54"),
    ]
    assert parse_facts("台历有12个月。底座为榉木。") == [Fact("", "台历有12个月"), Fact("", "底座为榉木")]
