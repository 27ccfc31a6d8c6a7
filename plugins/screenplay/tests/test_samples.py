"""The packaged samples: enough of them, all of them right by the plugin's own checks, varied, and none twice."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from metier_screenplay.script import parse
from metier_screenplay.script.element import speaker
from metier_screenplay.vertical import vertical

VERTICAL = vertical()
TASKS = [task.name for task in VERTICAL.tasks]
LEAST = {"screenplay.scene": (320, 60), "screenplay.dialogue": (160, 40), "screenplay.branch": (160, 40)}
LEAST_CHINESE = 0.4


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


TRAIN = {name: rows(VERTICAL.samples[name].train) for name in TASKS}
HELD_OUT = {name: rows(VERTICAL.samples[name].held_out) for name in TASKS}


@pytest.mark.parametrize("check", VERTICAL.checks, ids=lambda check: check.name)
def test_every_packaged_sample_passes_every_check(check: Any) -> None:
    for name in check.tasks:
        for row in TRAIN[name] + HELD_OUT[name]:
            assert not check.run(row["input"], row["output"]), row


@pytest.mark.parametrize("name", TASKS)
def test_the_counts_of_the_data_statement_are_right(name: str) -> None:
    statement = VERTICAL.samples[name].statement
    assert statement
    statement_text = statement.read_text(encoding="utf-8")
    for part, found in (("train", TRAIN[name]), ("heldout", HELD_OUT[name])):
        count = Counter(row["input"]["language"] for row in found)
        assert f"| `{name.partition('.')[2]}.{part}.jsonl` | {count['en']} | {count['zh']} |" in statement_text
    assert len(TRAIN[name]) >= LEAST[name][0] and len(HELD_OUT[name]) >= LEAST[name][1]


@pytest.mark.parametrize("name", TASKS)
def test_two_fifths_of_each_file_are_chinese(name: str) -> None:
    for part in (TRAIN[name], HELD_OUT[name]):
        assert sum(row["input"]["language"] == "zh" for row in part) >= LEAST_CHINESE * len(part)


def test_most_nodes_go_on_and_an_end_is_in_the_brief() -> None:
    for part in (TRAIN["screenplay.branch"], HELD_OUT["screenplay.branch"]):
        assert all(row["output"]["ending"] == row["input"].get("end", False) for row in part)
        assert 0.15 < sum(row["output"]["ending"] for row in part) / len(part) < 0.4


def test_no_branching_story_that_was_added_is_in_both_files() -> None:
    """A logline is a story: those of the first rows may be in both, no more than six."""
    train, held = ({row["input"].get("logline") for row in rows["screenplay.branch"]} for rows in (TRAIN, HELD_OUT))
    assert len((train & held) - {None}) <= 6


@pytest.mark.parametrize("name", TASKS)
def test_no_answer_is_repeated(name: str) -> None:
    ((_, most),) = Counter(json.dumps(r["output"]) for r in TRAIN[name] + HELD_OUT[name]).most_common(1)
    assert most == 1


def test_no_skeleton_of_a_scene_is_overused() -> None:
    """Opening words of the first paragraph, and the closing ones: each at most five times."""
    openings, endings = Counter[str](), Counter[str]()
    for row in TRAIN["screenplay.scene"] + HELD_OUT["screenplay.scene"]:
        paragraphs = row["output"]["text"].split("\n\n")
        openings[" ".join(paragraphs[1].split()[:2])] += 1
        endings[paragraphs[-1].casefold()] += 1
    assert openings.most_common(1)[0][1] <= 5 and endings.most_common(1)[0][1] <= 5


def test_shapes_of_scenes_vary() -> None:
    """The order in which action and speakers follow, speakers distinguished by letters."""
    shapes = Counter[str]()
    for row in TRAIN["screenplay.scene"]:
        who: dict[str, str] = {}
        shape = ""
        for element in parse(row["output"]["text"]):
            if element.kind == "character":
                shape += who.setdefault(speaker(element.text), "abcdef"[len(who)])
            elif element.kind in {"action", "parenthetical"}:
                shape += {"action": "-", "parenthetical": "("}[element.kind]
        shapes[shape] += 1
    assert len(shapes) >= 50
    assert shapes.most_common(1)[0][1] / len(TRAIN["screenplay.scene"]) < 0.2


def test_no_scene_is_in_both_files_under_other_names() -> None:
    def words(row: dict[str, Any]) -> set[str]:
        body = row["output"]["text"].casefold().partition("\n")[2]
        if row["input"]["language"] == "zh":
            body = re.sub(r"\W", "", body)
            return {body[at : at + 2] for at in range(len(body) - 1)}
        return set(re.findall(r"\w{4,}", body))

    trained = [(words(row), row) for row in TRAIN["screenplay.scene"]]
    for held in HELD_OUT["screenplay.scene"]:
        one = words(held)
        for other, train in trained:
            assert len(one & other) <= 0.5 * max(1, min(len(one), len(other))), (held, train)


def test_briefs_are_as_uneven_as_real_ones() -> None:
    briefs = [row["input"] for row in TRAIN["screenplay.scene"]]
    for field in ("logline", "max_pages"):
        assert 0.1 < sum(field in b for b in briefs) / len(briefs) < 0.7, field
    assert any(not b["beats"] for b in briefs) and any("time" not in b for b in briefs)
