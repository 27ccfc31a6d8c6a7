"""The packaged samples: enough of them, all of them right by the plugin's own checks, and none twice."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from metier_npc.checks import CHECKS
from metier_npc.tasks import LINE, TASKS
from metier_npc.vertical import vertical

SETS = vertical().samples


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


PARTS = {name: (rows(files.train), rows(files.held_out)) for name, files in SETS.items()}


def spoken_lines(row: dict[str, Any]) -> list[str]:
    out = row["output"]
    return list(out.get("variants") or [out.get("line") or out["text"]])


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_every_packaged_sample_passes_every_check(check: Any) -> None:
    found = [
        (spoken_lines(row), f.message)
        for name in check.tasks
        for part in PARTS[name]
        for row in part
        for f in check.run(row["input"], row["output"])
    ]
    assert not found


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_the_counts_of_the_data_statement_are_right(task: Any) -> None:
    statement = SETS[task.name].statement
    text = statement.read_text(encoding="utf-8") if statement else ""
    for name, part in zip(("train", "heldout"), PARTS[task.name], strict=True):
        count = Counter(row["input"].get("language", "en") for row in part)
        assert f"| `{task.name[4:]}.{name}.jsonl` | {count['en']} | {count['zh']} |" in text
    least = (370, 60) if task.name == LINE else (160, 40)
    for part in PARTS[task.name]:
        assert sum(row["input"].get("language") == "zh" for row in part) >= 0.4 * len(part)
    assert all(len(part) >= n for part, n in zip(PARTS[task.name], least, strict=True))


def test_no_character_of_a_held_out_file_is_in_a_training_file_of_any_task() -> None:
    train, held_out = ({row["input"]["speaker"] for parts in PARTS.values() for row in parts[i]} for i in (0, 1))
    assert not train & held_out


def test_no_line_is_repeated_and_no_skeleton_is_overused() -> None:
    lines = [line for parts in PARTS.values() for part in parts for row in part for line in spoken_lines(row)]
    assert len({line.casefold() for line in lines}) == len(lines)

    def skeleton(line: str) -> str:
        words = re.sub(r"\b[A-Z0-9]\w*", "#", line).split() if line.isascii() else [line]
        return " ".join(words)

    # Of one or two words, every shout has the same skeleton.
    counted = Counter(skeleton(line) for line in lines if len(line.split()) > 3)
    assert counted.most_common(1)[0][1] <= 5
    openings = Counter(" ".join(line.casefold().split()[:3]) for line in lines if len(line.split()) > 3)
    assert openings.most_common(1)[0][1] <= 5


def test_lines_use_many_emotions_and_every_allowed_action_somewhere() -> None:
    train = PARTS[LINE][0]
    emotions = Counter(row["output"]["emotion"] for row in train)
    assert len(emotions) == 8 and max(emotions.values()) < 0.4 * len(train)
    moved = sum(row["output"]["action"] != "none" for row in train) / len(train)
    assert 0.4 < moved < 0.8
    assert 0.15 < sum(bool(row["output"]["remember"]) for row in train) / len(train) < 0.5


def test_secrets_are_there_both_locked_and_open() -> None:
    from metier_npc.tasks import opened

    states = Counter(
        opened(secret, row["input"].get("state", {}))
        for parts in PARTS.values()
        for row in parts[0]
        for secret in row["input"].get("secrets", ())
    )
    assert states[True] >= 8 and states[False] >= 8
