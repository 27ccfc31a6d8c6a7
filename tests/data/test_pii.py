"""Personal data is found by form and checksum and replaced by its kind; what only looks like it is left alone."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.contracts import Sample
from metier.data.pii import find_pii, is_card, is_iban, is_resident_id, scrub, scrub_sample

FOUND = {
    "write to jo.smith+shop@mail.example.co.uk, please": ("email", "jo.smith+shop@mail.example.co.uk"),
    "电话13812345678，欢迎咨询": ("phone", "13812345678"),
    "call +86 138-1234-5678 now": ("phone", "+86 138-1234-5678"),
    "门店 010-62345678": ("phone", "010-62345678"),
    "ring (212) 555-0123 today": ("phone", "(212) 555-0123"),
    "from abroad +44 20 7946 0958": ("phone", "+44 20 7946 0958"),
    "ring 020 7946 0958 today": ("phone", "020 7946 0958"),
    "ring 02079460958.": ("phone", "02079460958"),
    "office (0161) 496 0123": ("phone", "(0161) 496 0123"),
    "home 01632 960983, after six": ("phone", "01632 960983"),
    "home 01632 960 983": ("phone", "01632 960 983"),
    "mobile 07700 900123": ("phone", "07700 900123"),
    "mobile 07700900123": ("phone", "07700900123"),
    "SSN 219-09-9999 on file": ("ssn", "219-09-9999"),
    "pay to GB82 WEST 1234 5698 7654 32 today": ("iban", "GB82 WEST 1234 5698 7654 32"),
    "IBAN DE89370400440532013000, 30 EUR": ("iban", "DE89370400440532013000"),
    "ref AB12 GB82 WEST 1234 5698 7654 32": ("iban", "GB82 WEST 1234 5698 7654 32"),
    "NO93 8601 1117 947": ("iban", "NO93 8601 1117 947"),
    "MT84 MALT 0110 0001 2345 MTLC AST0 01S THANKS": ("iban", "MT84 MALT 0110 0001 2345 MTLC AST0 01S"),
    "from 81.2.69.142, at noon": ("ip", "81.2.69.142"),
    "host 81.2.69.142:8080 is down": ("ip", "81.2.69.142"),
    "来自81.2.69.142的用户": ("ip", "81.2.69.142"),
    "moved over 81.2.69.142": ("ip", "81.2.69.142"),
    "社保号219-09-9999号": ("ssn", "219-09-9999"),
    "from 2a00:1450:4009:81f::200e.": ("ip", "2a00:1450:4009:81f::200e"),
    "card 4111 1111 1111 1111 ok": ("card", "4111 1111 1111 1111"),
    "card 378282246310005.": ("card", "378282246310005"),
    "身份证11010519491231002X号": ("resident_id", "11010519491231002X"),
    "身份证 110105 19491231 002X": ("resident_id", "110105 19491231 002X"),
    "身份证号：110105491231002": ("resident_id", "110105491231002"),
    "手机１３８１２３４５６７８": ("phone", "１３８１２３４５６７８"),
    "手机 138 1234 5678": ("phone", "138 1234 5678"),
    "1 3 8 1 2 3 4 5 6 7 8": ("phone", "1 3 8 1 2 3 4 5 6 7 8"),
    "tel13812345678": ("phone", "13812345678"),
    "加vx13812345678": ("phone", "13812345678"),
    "座机(010)62345678": ("phone", "(010)62345678"),
    "座机（０１０）６２３４５６７８": ("phone", "（０１０）６２３４５６７８"),
    "text 212 555 0123": ("phone", "212 555 0123"),
    "call 1-800-555-0199": ("phone", "1-800-555-0199"),
    "to order call 212-555-0123": ("phone", "212-555-0123"),
    "card 4111.1111.1111.1111": ("card", "4111.1111.1111.1111"),
    "iban gb82 west 1234 5698 7654 32": ("iban", "gb82 west 1234 5698 7654 32"),
    "my SSN is 219 09 9999": ("ssn", "219 09 9999"),
    "social security number 219099999": ("ssn", "219099999"),
    "mail info@münchen.de": ("email", "info@münchen.de"),
    "邮箱 kefu@例子.公司，请联系": ("email", "kefu@例子.公司"),
    "write to jo (at) shop (dot) com": ("email", "jo (at) shop (dot) com"),
    "jo[at]shop.co.uk please": ("email", "jo[at]shop.co.uk"),
    "ｊｏ＠ｓｈｏｐ．ｃｏｍ": ("email", "ｊｏ＠ｓｈｏｐ．ｃｏｍ"),
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
        "GB82 WEST 1234 5698 7654 33, DE89370400440532013001",  # mod 97 fails
        "DE8937040044053201300, DE893704004405320130000",  # no German IBAN is as short, or as long
        "000-12-3456, 666-12-3456, 912-34-5678, 219-00-9999, 219-09-0000",  # never given out (SSA)
        "part 219-09-99991, 1219-09-9999, no. 219099999, 2190-09-9999, 20-219-09-9999",
        "open 192.168.1.1, or http://127.0.0.1:8000, mask 255.255.255.0, 10.20.30.40",  # nobody's own
        "version 2.10.3.4, v81.2.69.142, see 4.2.1.3 and 81.2.69.142.7, 300.2.69.142, 081.2.69.142",
        "at 12:30:45, 2001:30:45, 2a00::g, fe80::1, ::1, 2024:01:02, ab::cd, std::2a00",
        "lot 0201234567890, ISBN 0306406152, 0-306-40615-2, EAN 0012345678905",
        "0120 minutes, 01632, 07700 is the code, 0207 946, 04012345678, 05 06 07 08 09",
        "01234-56789-01234",
        "order 212 555 0123, stock no. 13812345678, SKU: 415-555-0132",
        "订单号：13812345678，货号 13912345678，运单13712345678",
        "110105491231002 pieces, 219 09 9999 steps, 219099999",  # no word names them
        "look (at) this, at 5 (dot) it",
    ],
)
def test_numbers_that_only_look_like_it_stay(text):
    assert scrub(text) == (text, [])


def test_a_sample_is_scrubbed_in_every_string_and_the_field_is_reported():
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


@given(st.text(max_size=60) | st.text("0123456789 .:-()+GBDE", max_size=60))
def test_scrubbing_twice_is_scrubbing_once_and_pieces_do_not_overlap(text):
    clean, found = scrub(text)
    assert find_pii(clean) == []
    assert all(a.end <= b.start for a, b in pairwise(found))


@given(st.text("0123456789", min_size=18, max_size=18))
def test_one_pair_of_check_digits_in_a_hundred_makes_an_iban(account):
    fits = [f"{check:02d}" for check in range(2, 99) if is_iban(f"DE{check:02d}{account}")]
    assert len(fits) == 1
