"""Personal data is found by form and checksum and replaced by its kind; what only looks like it is left alone."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.contracts import Sample
from metier.data.pii import find_pii, is_card, is_resident_id, scrub, scrub_sample

FOUND = {
    "write to jo.smith+shop@mail.example.co.uk, please": ("email", "jo.smith+shop@mail.example.co.uk"),
    "电话13812345678，欢迎咨询": ("phone", "13812345678"),
    "call +86 138-1234-5678 now": ("phone", "+86 138-1234-5678"),
    "门店 010-62345678": ("phone", "010-62345678"),
    "ring (212) 555-0123 today": ("phone", "(212) 555-0123"),
    "from abroad +44 20 7946 0958": ("phone", "+44 20 7946 0958"),
    "card 4111 1111 1111 1111 ok": ("card", "4111 1111 1111 1111"),
    "card 378282246310005.": ("card", "378282246310005"),
    "身份证11010519491231002X号": ("resident_id", "11010519491231002X"),
}


@pytest.mark.parametrize("text", FOUND)
def test_personal_data_is_replaced_by_its_kind(text):
    kind, piece = FOUND[text]
    clean, (found,) = scrub(text)
    assert found.kind == kind and text[found.start : found.end] == piece
    assert clean == text.replace(piece, f"[{kind}]")


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112",  # Luhn fails
        "110105194912310021",  # check character fails
        "11010519491331002X",  # there is no month 13
        "ISBN 9780306406157, 300 ml, 1,299.00, 2024-05-06",
        "model 1280x1024, order no. 20240506123456",
        "price[less than £20], area[city centre]",
        "@handle and a@b",
        "0.13812345678",
    ],
)
def test_numbers_that_only_look_like_it_stay(text):
    assert scrub(text) == (text, [])


def test_a_sample_is_scrubbed_in_every_string_and_says_in_which_field():
    dirty = Sample(task="demo.x", input={"facts": "a@b.com", "tags": ["ok", {"tel": "13812345678"}]}, output={"n": 3})
    clean, found = scrub_sample(dirty)
    assert clean.input == {"facts": "[email]", "tags": ["ok", {"tel": "[phone]"}]} and clean.output == {"n": 3}
    assert [(r.kind, r.field) for r in found] == [("email", "input.facts"), ("phone", "input.tags.1.tel")]
    assert not any("138" in str(r) for r in found), "the report must not carry the data itself"


@given(st.text("0123456789", min_size=13, max_size=18))
def test_exactly_one_check_digit_makes_a_card(body):
    fits = [d for d in "0123456789" if is_card(body + d)]
    assert len(fits) <= 1
    assert fits or len(set(body)) == 1


@given(st.integers(0, 999), st.dates())
def test_exactly_one_check_character_makes_a_resident_id(serial, born):
    body = f"110105{born:%Y}".ljust(10, "0")[:10] + f"{born:%m%d}{serial:03d}"
    fits = [c for c in "0123456789X" if is_resident_id(body + c)]
    assert len(fits) == (1 if born.year >= 1000 else len(fits))


@given(st.text(max_size=60))
def test_scrubbing_twice_is_scrubbing_once_and_pieces_do_not_overlap(text):
    clean, found = scrub(text)
    assert find_pii(clean) == []
    assert all(a.end <= b.start for a, b in pairwise(found))
