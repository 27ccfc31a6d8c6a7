"""The packaged samples: enough of them, all correct by the plugin's own checks, and none overused."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from metier.contracts import Image, Sample
from metier_support.case import policy
from metier_support.checks.escalation import rule_holds, rules_of
from metier_support.tasks import ENTITIES, INTENT, LISTING, REPLY, REVIEW
from metier_support.vertical import vertical

LEAST = {REPLY: (160, 40), INTENT: (48, 16), ENTITIES: (48, 16), LISTING: (48, 16), REVIEW: (48, 16)}


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


PARTS = {name: (rows(files.train), rows(files.held_out)) for name, files in vertical().samples.items()}


@pytest.mark.parametrize("name", PARTS)
def test_every_sample_satisfies_its_contract_and_passes_its_checks(name: str) -> None:
    task = vertical().task(name)
    for row in [r for part in PARTS[name] for r in part]:
        task.check_sample(Sample(task=name, **row))
        found = [f.message for check in vertical().checks_for(name) for f in check.run(row["input"], row["output"])]
        assert not found, (row, found)


@pytest.mark.parametrize("name", PARTS)
def test_the_counts_of_the_data_statement_are_right(name: str) -> None:
    statement = vertical().samples[name].statement
    statement_text = statement.read_text(encoding="utf-8") if statement else ""
    for part, file, least in zip(PARTS[name], ("train", "heldout"), LEAST[name], strict=True):
        count = Counter(row["input"]["language"] for row in part)
        assert f"| `{name.split('.')[1]}.{file}.jsonl` | {count['en']} | {count['zh']} |" in statement_text
        assert len(part) >= least


@pytest.mark.parametrize("name", PARTS)
def test_no_input_is_repeated(name: str) -> None:
    input_counts = Counter(json.dumps(row["input"], sort_keys=True) for part in PARTS[name] for row in part)
    assert max(input_counts.values()) == 1


@pytest.mark.parametrize("name", [REPLY, LISTING, REVIEW])
def test_no_skeleton_is_used_more_than_five_times(name: str) -> None:
    field = {REPLY: "reply", LISTING: "description", REVIEW: "summary"}[name]

    def skeleton(row: dict[str, Any]) -> str:
        text = re.sub(r"\"[^\"]+\"|“[^”]+”|\{\{[^}]+\}\}", "#", row["output"][field])
        return re.sub(r"[£$€]?[A-Za-z0-9-]*\d[A-Za-z0-9.,-]*", "#", text)

    found = Counter(skeleton(row) for part in PARTS[name] for row in part)
    assert found.most_common(1)[0][1] <= 5, found.most_common(3)


def test_held_out_policies_are_of_other_shops() -> None:
    def texts(part: list[dict[str, Any]]) -> set[str]:
        return {p["text"] for row in part for p in row["input"].get("passages", [])}

    train, held_out = PARTS[REPLY]
    assert not texts(train) & texts(held_out)


def test_every_escalation_with_a_source_is_one_that_the_policy_requires() -> None:
    for row in [r for part in PARTS[REPLY] for r in part]:
        if row["output"]["escalate"] and row["output"]["used"]:
            assert any(rule_holds(rule, row["input"]) for rule in rules_of(policy(row["input"]))), row


def test_every_intent_is_met_in_training() -> None:
    labels = set(vertical().task(INTENT).labels)
    assert {row["output"]["intent"] for row in PARTS[INTENT][0]} == labels
    assert {row["output"]["intent"] for row in PARTS[REPLY][0]} == labels


def test_every_packaged_photo_is_complete() -> None:
    for row in [r for part in PARTS[LISTING] for r in part]:
        photo = Image.of(row["input"]["photo"])
        assert (photo.media_type, photo.width, photo.height) == ("image/png", 160, 64)


def test_messages_are_as_untidy_as_customers_are() -> None:
    messages = [row["input"]["dialogue"][-1]["text"] for row in PARTS[REPLY][0] if row["input"]["language"] == "en"]
    lower = sum(text == text.lower() for text in messages) / len(messages)
    assert lower > 0.25
