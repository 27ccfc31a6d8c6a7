"""Checks take time in proportion to what they read: a text twice as long takes about twice as long."""

from __future__ import annotations

import time

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
ROUNDS = 3
"""Both lengths are timed together so often: other work on the machine slows one round, a quadratic check all."""


def seconds(check: Check, text: str, known: bool) -> float:
    """What the check takes for the text, which the brief holds as well where it is `known`."""
    line = {"say": text, "stress": [text[:20]], "gesture": "show", "seconds": 9}
    output = {"text": text, "headlines": [text, "x"], "descriptions": [text], "lines": [line]}
    facts = f"{FACTS}, note[{text}]" if known else FACTS
    start = time.process_time()
    check.run({"facts": facts, "max_chars": 50, "seconds": 20, "language": "zh"}, output)
    return time.process_time() - start


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
@pytest.mark.parametrize("piece", PIECES)
def test_four_times_the_text_takes_about_four_times_as_long(check: Check, piece: str) -> None:
    short, long = ((piece * (length // len(piece) + 1))[:length] for length in (6_000, 24_000))
    for known in (False, True):
        rounds: list[tuple[float, float]] = []
        for _ in range(ROUNDS):
            rounds.append((seconds(check, short, known), seconds(check, long, known)))
            # Below a tenth of a second the machine's noise is larger than what is measured.
            if rounds[-1][1] < max(0.1, HEADROOM * rounds[-1][0]):
                break
        else:
            pytest.fail(f"known {known}: {rounds}")
        assert rounds[-1][1] < 4
