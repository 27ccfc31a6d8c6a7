"""The packaged samples: enough of them, all correct by the plugin's own checks, and none overused."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metier.contracts import Sample
from metier_adcopy.checks.facts_stated import NAME_KEYS
from metier_adcopy.copy_of import pieces
from metier_adcopy.facts import parse_facts
from metier_adcopy.tasks import DESCRIBE, PRESENTER, SEARCH_ADS, SEARCH_MATCH
from metier_adcopy.tasks.search_match import GRADES
from metier_adcopy.vertical import vertical

LEAST = {DESCRIBE: (320, 60), SEARCH_ADS: (160, 40), SEARCH_MATCH: (160, 40), PRESENTER: (160, 40)}
WRITTEN = (DESCRIBE, SEARCH_ADS, PRESENTER)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


PARTS = {name: (rows(files.train), rows(files.held_out)) for name, files in vertical().samples.items()}


@pytest.mark.parametrize("name", PARTS)
def test_every_sample_satisfies_its_contract_and_passes_its_checks(name: str) -> None:
    task = vertical().task(name)
    for row in [row for part in PARTS[name] for row in part]:
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
        assert count["zh"] >= 0.4 * len(part)


@pytest.mark.parametrize("name", PARTS)
def test_no_input_is_repeated(name: str) -> None:
    input_counts = Counter(json.dumps(row["input"], sort_keys=True) for part in PARTS[name] for row in part)
    assert max(input_counts.values()) == 1


def test_briefs_vary_in_what_they_leave_out() -> None:
    for name, fields in ((DESCRIBE, ("audience", "tone", "max_chars")), (SEARCH_ADS, ("keyword",))):
        train = PARTS[name][0]
        for field in fields:
            share = sum(field in row["input"] for row in train) / len(train)
            assert 0.5 < share < 0.75, (field, share)


@pytest.mark.parametrize("name", WRITTEN)
def test_no_text_is_in_both_files(name: str) -> None:
    train, held_out = PARTS[name]
    assert not {facts(row) for row in held_out} & {facts(row) for row in train}
    closest = max((likeness(a, b), a, b) for a in texts(held_out) for b in texts(train))
    assert closest[0] < 0.5, closest


def test_no_product_described_in_training_is_held_out() -> None:
    train, held_out = PARTS[DESCRIBE]
    assert not {product(row) for row in held_out} & {product(row) for row in train}


@pytest.mark.parametrize("name", WRITTEN)
def test_no_opening_and_no_skeleton_is_overused(name: str) -> None:
    def skeleton(row: dict[str, Any], text: str) -> str:
        values = sorted(
            (fact.value for fact in parse_facts(row["input"]["facts"]) if fact.value), key=len, reverse=True
        )
        for value in values:
            text = text.replace(value, "#")
        return re.sub(r"[\d.,]+", "#", text)

    answers = Counter(skeleton(row, " / ".join(pieces(row["output"]))) for part in PARTS[name] for row in part)
    assert answers.most_common(1)[0][1] <= 5
    sentences = Counter(skeleton(row, piece) for part in PARTS[name] for row in part for piece in pieces(row["output"]))
    overused = [(text, n) for text, n in sentences.most_common(5) if n > 5 and len(text.split()) > 3]
    assert not overused
    openings = Counter(
        " ".join(pieces(row["output"])[0].split()[:3]) for row in PARTS[name][0] if row["input"]["language"] == "en"
    )
    assert openings.most_common(1)[0][1] <= 5


def test_each_query_has_an_ad_of_every_grade_and_none_is_in_both_files() -> None:
    for part in PARTS[SEARCH_MATCH]:
        grades: dict[str, list[str]] = {}
        for row in part:
            grades.setdefault(row["input"]["query"], []).append(row["output"]["grade"])
        assert all(sorted(found) == sorted(GRADES) for found in grades.values())
    train, held_out = ({row["input"]["query"] for row in part} for part in PARTS[SEARCH_MATCH])
    assert not train & held_out


def facts(row: dict[str, Any]) -> str:
    return str(row["input"]["facts"]).casefold()


def product(row: dict[str, Any]) -> str:
    named = [f.value for f in parse_facts(facts(row)) if f.key in NAME_KEYS]
    return named[0] if named else facts(row)


def texts(part: list[dict[str, Any]]) -> Iterator[frozenset[str]]:
    for row in part:
        plain = re.sub(r"\W+", " ", " ".join(pieces(row["output"])).casefold())
        yield frozenset(plain[i : i + 5] for i in range(len(plain) - 4))


def likeness(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other)
