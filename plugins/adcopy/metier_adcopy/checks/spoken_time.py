"""A presenter's lines must take the time they claim, and fit the slot.

Radio talks in English run at 150 to 170 words a minute, lectures at 125 to 160 (Tauroza & Allison 1990, "Speech rates
in British English", Applied Linguistics 11/1); news in Mandarin at 185 to 300 characters (《新闻和报纸摘要》 since the
1960s). Seconds are whole, hence one of leave on either side.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding, Value
from metier.wording.words import HAN
from metier_adcopy.tasks import PRESENTER

RULE = "Tauroza & Allison 1990: 125 to 190 words a minute in English; 180 to 300 characters in Mandarin"
WORDS_A_MINUTE = (125, 190)
CHARACTERS_A_MINUTE = (180, 300)
LEAVE = 1.0
"""Seconds by which a line may miss, since durations are whole seconds."""

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_SIGN = re.compile(r"[£$€¥%&°+]")


def spoken_seconds(text: str) -> tuple[float, float]:
    """Shortest and longest time that a text takes to say, in seconds.

    A number counts as two words, or as its digits among Han characters; a sign such as £ as one. In Chinese a Latin
    word counts as two characters.
    """
    numbers = _NUMBER.findall(text)
    signs = len(_SIGN.findall(text))
    han = len(HAN.findall(text))
    words = len(_WORD.findall(HAN.sub(" ", text)))
    if han:
        count = han + 2 * words + sum(sum(c.isdigit() for c in number) for number in numbers) + signs
        slowest, fastest = CHARACTERS_A_MINUTE
    else:
        count = words + 2 * len(numbers) + signs
        slowest, fastest = WORDS_A_MINUTE
    return 60 * count / fastest, 60 * count / slowest


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding per line that cannot be said in its time, and one where all lines outrun the slot."""
    return list(_findings(input, output))


def _findings(input: Mapping[str, Any], output: Mapping[str, Any]) -> Iterator[Finding]:
    lines = [line for line in output.get("lines") or [] if isinstance(line, Mapping)]
    total = 0.0
    for number, line in enumerate(lines, 1):
        words, seconds = str(line.get("say", "")), line.get("seconds")
        if not isinstance(seconds, int | float):
            continue
        total += seconds
        shortest, longest = spoken_seconds(words)
        if not shortest - LEAVE <= seconds <= longest + LEAVE:
            takes = f"{shortest:.0f} to {longest:.0f} s"
            yield Finding(message=f"line {number} takes {takes} to say, not {seconds}", rule=RULE, excerpt=words[:40])
    slot = input.get("seconds")
    if isinstance(slot, int | float) and total > slot:
        yield Finding(message=f"the lines take {total:g} s, the slot has {slot:g}", rule="The brief's own length")


_LINE: Value = {"say": "This is the Alder bench, and it is yours for £89.", "stress": [], "gesture": "show"}
spoken_time = Check(
    name="spoken_time",
    title="Spoken time fits",
    tasks=(PRESENTER,),
    run=run,
    passing=({"facts": "name[Alder bench], price[£89]", "seconds": 10}, {"lines": [{**_LINE, "seconds": 5}]}),
    failing=({"facts": "name[Alder bench], price[£89]", "seconds": 10}, {"lines": [{**_LINE, "seconds": 12}]}),
    description="Each line's seconds are what it takes to say, and together they fit the slot.",
)
