"""Length as the platforms count it."""

from __future__ import annotations

import pytest

from metier_adcopy.checks.length import run, width


@pytest.mark.parametrize(
    ("text", "places"),
    [("mug", 3), ("云眠枕", 6), ("，", 2), (",", 1), ("ＡＢ", 4), ("cafe\u0301", 4), ("", 0), ("カナ", 4), ("ｶﾅ", 2)],
)
def test_a_full_width_character_takes_two_places_and_a_combining_mark_none(text: str, places: int) -> None:
    assert width(text) == places


def test_a_text_at_its_limit_passes_and_one_place_more_does_not() -> None:
    assert not run({"facts": "a[b]", "max_chars": 7}, {"text": "云眠枕."})
    (finding,) = run({"facts": "a[b]", "max_chars": 7}, {"text": "云眠枕。"})
    assert "takes 8" in finding.message and "limit is 7" in finding.message and finding.rule


@pytest.mark.parametrize("brief", [{"facts": "a[b]"}, {"facts": "a[b]", "max_chars": None}])
def test_no_limit_is_no_finding(brief: dict[str, object]) -> None:
    assert not run(brief, {"text": "long " * 500})
