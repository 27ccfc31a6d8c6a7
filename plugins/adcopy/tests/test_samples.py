"""The packaged samples: enough of them, all of them right by the plugin's own checks, and none twice."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metier_adcopy.checks import CHECKS
from metier_adcopy.tasks import describe
from metier_adcopy.vertical import vertical

SET = vertical().samples[describe.name]


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


TRAIN, HELD_OUT = rows(SET.train), rows(SET.held_out)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_every_packaged_sample_passes_every_check(check: Any) -> None:
    found = [
        (row["output"]["text"], f.message) for row in TRAIN + HELD_OUT for f in check.run(row["input"], row["output"])
    ]
    assert not found


def test_there_are_as_many_samples_as_the_statement_says() -> None:
    said = SET.statement.read_text(encoding="utf-8") if SET.statement else ""
    for name, part in (("train.jsonl", TRAIN), ("heldout.jsonl", HELD_OUT)):
        count = Counter(row["input"]["language"] for row in part)
        assert f"| `{name}` | {count['en']} | {count['zh']} |" in said
    assert len(TRAIN) >= 160 and len(HELD_OUT) >= 40


def test_briefs_vary_in_what_they_leave_out() -> None:
    for field in ("audience", "tone", "max_chars"):
        share = sum(field in row["input"] for row in TRAIN) / len(TRAIN)
        assert 0.5 < share < 0.7, (field, share)


def test_no_name_and_no_text_stands_in_both_files() -> None:
    train = {facts(row) for row in TRAIN}
    assert not train & {facts(row) for row in HELD_OUT}
    names = {name(row) for row in TRAIN}
    assert not {name(row) for row in HELD_OUT} & names
    closest = max((likeness(a, b), a, b) for a in texts(HELD_OUT) for b in texts(TRAIN))
    assert closest[0] < 0.5, closest


def test_no_opening_and_no_skeleton_is_worn_out() -> None:
    def skeleton(row: dict[str, Any]) -> str:
        values = sorted(re.findall(r"\[([^\]]+)\]", row["input"]["facts"]), key=len, reverse=True)
        text = row["output"]["text"]
        for value in values:
            text = text.replace(value, "#")
        return re.sub(r"[\d.,]+", "#", text)

    ((_, most),) = Counter(skeleton(row) for row in TRAIN + HELD_OUT).most_common(1)
    assert most <= 5
    english = [row["output"]["text"] for row in TRAIN if row["input"]["language"] == "en"]
    ((_, most),) = Counter(" ".join(text.split()[:3]) for text in english).most_common(1)
    assert most <= 5


def facts(row: dict[str, Any]) -> str:
    return str(row["input"]["facts"]).casefold()


def name(row: dict[str, Any]) -> str:
    return facts(row).split("]")[0].split("[")[-1]


def texts(part: list[dict[str, Any]]) -> Iterator[frozenset[str]]:
    for row in part:
        plain = re.sub(r"\W+", " ", row["output"]["text"].casefold())
        yield frozenset(plain[i : i + 5] for i in range(len(plain) - 4))


def likeness(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other)
