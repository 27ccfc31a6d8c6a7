"""A rewrite has one line for each line given, is a rewrite, and keeps to the words allowed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding, Value
from metier_screenplay.tasks import DIALOGUE

LINES = "house rule: a rewrite is laid over the old lines, one for one"
WORDS = "house rule: words only, as they stand under the cue"
LIMIT = "the note's own limit; a Han character counts as a word"
_WORD = re.compile(r"[\u3400-\u9fff]|[^\W_]+(?:['’-][^\W_]+)*")
_GIVEN: Value = {
    "character": "Mara",
    "lines": ["I am very angry with you, Tom.", "You have been eating my bread."],
    "note": "less on the nose",
    "max_words": 8,
}


def words(text: str) -> int:
    """Words of a line; each Han character is one."""
    return len(_WORD.findall(text))


def lines_kept(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """Findings where lines are missing or added, carry a cue or a mark of Fountain, or are all as they were."""
    given = [str(line).strip() for line in input.get("lines") or ()]
    rows = [row.strip() for row in str(output.get("text", "")).strip().split("\n")]
    found = []
    if len(rows) != len(given):
        found.append(Finding(message=f"{len(given)} lines were given, {len(rows)} came back", rule=LINES))
    name = str(input.get("character", "")).casefold()
    for row in rows:
        start = row.partition(":")[0].partition("：")[0].strip().casefold()
        if not row:
            found.append(Finding(message="a line is empty", rule=LINES))
        elif row.casefold() == name or (start == name and start != row.casefold()) or row[0] in "@>#=!~-*":
            found.append(Finding(message="a line carries a cue or a mark", rule=WORDS, excerpt=row[:60]))
    if given and rows == given:
        found.append(
            Finding(message="every line is as it was", rule="the note asks for a rewrite", excerpt=rows[0][:60])
        )
    return found


def lines_fit(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding for each line of more than `max_words` words."""
    limit = input.get("max_words")
    if not isinstance(limit, int):
        return []
    return [
        Finding(message=f"{words(row)} words, the limit is {limit}", rule=LIMIT, excerpt=row[:60])
        for row in str(output.get("text", "")).split("\n")
        if words(row) > limit
    ]


_GOOD: Value = {"text": "Sleep well, did you?\nThere were nine loaves. I counted."}
REWRITE_CHECKS = (
    Check(
        name="lines_kept",
        title="All lines rewritten",
        tasks=(DIALOGUE,),
        run=lines_kept,
        passing=(_GIVEN, _GOOD),
        failing=(_GIVEN, {"text": "MARA: Sleep well, did you?"}),
        description="As many lines as were given, words only, and not the same ones.",
    ),
    Check(
        name="lines_fit",
        title="Lines within the word limit",
        tasks=(DIALOGUE,),
        run=lines_fit,
        passing=(_GIVEN, _GOOD),
        failing=(_GIVEN, {"text": "Did you sleep well among all of my sacks?\nThere were nine loaves."}),
        description="Within max_words a line.",
    ),
)
