"""Real customer queries that nobody here wrote: 10,003 rows of banking77 (CC BY 4.0), read with its own 77 intents."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from metier.contracts import BadRow, Sample
from metier.prompting.reply import decode_reply, encode_reply, grammar_of
from metier_support.reading import IntentTable
from metier_support.tasks import intent_among

DATA = next(
    (p / "shared/data/banking77" for p in Path(__file__).parents if (p / "shared/data/banking77").is_dir()), None
)
pytestmark = pytest.mark.skipif(DATA is None, reason="shared/data/banking77 is not there")


def test_every_row_becomes_a_sample_under_its_own_intents() -> None:
    assert DATA is not None
    labels = json.loads((DATA / "categories.json").read_text(encoding="utf-8"))
    task = intent_among(labels)
    adapter = IntentTable(task)
    assert adapter.accepts(DATA / "train.csv") and grammar_of(task)
    rows = list(adapter.read(DATA / "train.csv"))
    assert len(rows) == 10_003 and all(isinstance(row, Sample) for row in rows)
    lines = [row.provenance.line for row in rows if row.provenance and row.provenance.line]
    # Some queries hold line breaks, so that lines grow by more than one.
    assert lines == sorted(set(lines)) and lines[0] == 2
    for row in rows[::97]:
        assert isinstance(row, Sample)
        task.check_sample(row)
        assert decode_reply(task, encode_reply(task, row.output)) == row.output
    assert len(Counter(str(row.output["intent"]) for row in rows if isinstance(row, Sample))) == 77


def test_the_packaged_intents_take_what_they_know_and_name_the_rest() -> None:
    assert DATA is not None
    rows = list(IntentTable().read(DATA / "train.csv"))
    taken = [row for row in rows if isinstance(row, Sample)]
    assert len(rows) == 10_003 and 900 < len(taken) < 1_100
    bad = next(row for row in rows if isinstance(row, BadRow))
    assert bad.field == "category" and "card_arrival" in bad.reason and bad.remedy
