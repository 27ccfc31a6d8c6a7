"""Checks take time in proportion to what they read: a text twice as long takes about twice as long."""

from __future__ import annotations

import time
from typing import Any

import pytest

from metier.contracts import Check
from metier_adcopy.checks import CHECKS

FACTS = "name[Alder bench], price[£89], wifi[no], lid[not included], delivery[free over £50], 坚果[不含]"
# What makes a pattern start again at every place, or a lookup walk through all that was read.
PIECES = [
    "A ",
    "a",
    "1 ",
    "1,000,",
    "( ",
    "  ",
    "“",
    "不",
    "最好",
    "free ",
    "low ",
    "Ab1 ",
    "，",
    "满1",
    "not ",
    "白橡木",
]
HEADROOM = 8
"""How much longer four times the text may take: 4 where time is linear, 16 where it is quadratic."""


def seconds(check: Check, input: dict[str, Any], text: str) -> float:
    line = {"say": text, "stress": [text[:20]], "gesture": "show", "seconds": 9}
    output = {"text": text, "headlines": [text, "x"], "descriptions": [text], "lines": [line]}
    best = float("inf")
    for _ in range(2):
        start = time.process_time()
        check.run(input, output)
        best = min(best, time.process_time() - start)
        if best > 0.2:
            break
    return best


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
@pytest.mark.parametrize("piece", PIECES)
def test_four_times_the_text_takes_about_four_times_as_long(check: Check, piece: str) -> None:
    for known in (False, True):
        times = []
        for length in (6_000, 12_000, 24_000):
            text = (piece * (length // len(piece) + 1))[:length]
            facts = f"{FACTS}, note[{text}]" if known else FACTS
            times.append(seconds(check, {"facts": facts, "max_chars": 50, "seconds": 20, "language": "zh"}, text))
        # Below a tenth of a second the machine's noise is larger than what is measured.
        assert times[2] < max(0.1, HEADROOM * times[0]), (known, times)
        assert times[2] < 4
