"""What is written for a writer is read back with the same words, speakers and tags."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metier.contracts import BadRow, DataError, Sample, UsageError
from metier_npc.command import script
from metier_npc.reading import INK, YARN, BarkSheet, DialogueSheet
from metier_npc.scripts import ink, yarn
from metier_npc.scripts.item import numbered
from metier_npc.writing import Spoken, revise, spoken_of, write_ink, write_sheet, write_yarn

MARKS = r"-> <- {x} } [a] # // /* * + - ~ = : | \ << >> <> Note: VAR TODO: word 你好： (a) ---"
WORDS = st.one_of(
    st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=60),
    st.lists(st.sampled_from(MARKS.split(" ")), min_size=1).map(" ".join),
).map(lambda t: " ".join(t.split())).filter(bool)  # fmt: skip
SPEAKERS = st.sampled_from(["Mira", "Old Pell", "周婆", "sentry bot", ""])


@settings(max_examples=300, deadline=None)
@given(lines=st.lists(WORDS, min_size=1, max_size=4), speaker=SPEAKERS)
def test_lines_written_as_ink_are_read_back_word_by_word(lines: list[str], speaker: str) -> None:
    text = write_ink([Spoken(speaker, tuple(lines), "gate guard", emotion="happy", action="step aside")])
    read = [i for i in ink.read(numbered(text)) if i.kind == "line" and i.display_text]
    assert [i.display_text for i in read] == lines
    assert all((i.speaker or "") == speaker and i.node == "gate_guard" for i in read)
    assert all(i.tags[-2:] == ("emotion:happy", "action:step aside") for i in read)
    assert len({i.alternative for i in read}) == len(lines)


@settings(max_examples=300, deadline=None)
@given(lines=st.lists(WORDS, min_size=1, max_size=4), speaker=SPEAKERS)
def test_lines_written_as_yarn_are_read_back_word_by_word(lines: list[str], speaker: str) -> None:
    text = write_yarn([Spoken(speaker, tuple(lines), "gate guard", emotion="happy", action="step aside")])
    read = [i for i in yarn.read(numbered(text)) if i.kind == "line" and i.display_text]
    assert [i.display_text for i in read] == lines
    assert all((i.speaker or "") == speaker and i.node == "gate_guard" for i in read)
    assert all(i.tags == ("emotion:happy", "action:step_aside") for i in read)


def test_barks_written_as_a_sheet_are_read_back_by_the_data_adapter(tmp_path: Path) -> None:
    given = {"speaker": "Guard", "situation": "hears, or thinks he hears, a noise", "count": 2}
    path = tmp_path / "a.csv"
    path.write_text(write_sheet([spoken_of(given, {"variants": ['"Who?"', "Rats, again."]})]), newline="")
    rows = [row for row in BarkSheet().read(path) if isinstance(row, Sample)]
    assert [row.output["variants"] for row in rows] == [['"Who?"'], ["Rats, again."]]
    assert all(row.input["situation"] == given["situation"] for row in rows)


@pytest.mark.parametrize("kind", ["ink", "yarn", "csv"])
def test_answers_of_a_run_become_a_script_whose_samples_are_the_answers(tmp_path: Path, kind: str) -> None:
    scenes = [{"speaker": "Mira", "actions": ["none", "wave"]}, {"speaker": "Hobb"}]
    answers = [
        {"line": "Over here!", "emotion": "happy", "action": "wave", "remember": []},
        {"line": "No.", "emotion": "neutral", "action": "none", "remember": []},
    ]
    for name, rows in (("in", scenes), ("out", answers)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    script(tmp_path / "in.jsonl", tmp_path / "out.jsonl", tmp_path / f"talk.{kind}")
    adapter = {"ink": INK, "yarn": YARN, "csv": DialogueSheet()}[kind]
    assert adapter.accepts(tmp_path / f"talk.{kind}")
    read = list(adapter.read(tmp_path / f"talk.{kind}"))
    assert not any(isinstance(row, BadRow) for row in read)
    assert [row.output for row in read if isinstance(row, Sample)] == answers
    assert [row.input["speaker"] for row in read if isinstance(row, Sample)] == ["Mira", "Hobb"]


def test_answers_that_do_not_fit_their_inputs_are_named_by_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"speaker": "Mira"}\n{"speaker": "Hobb"}\n')
    (tmp_path / "out.jsonl").write_text('{"line": "Hi."}\n')
    with pytest.raises(DataError, match="1 answers to 2 inputs"):
        script(tmp_path / "in.jsonl", tmp_path / "out.jsonl", tmp_path / "a.ink")
    (tmp_path / "out.jsonl").write_text('{"line": "Hi."}\n{"nothing": 1}\n')
    with pytest.raises(DataError, match=r"out\.jsonl:2"):
        script(tmp_path / "in.jsonl", tmp_path / "out.jsonl", tmp_path / "a.ink")
    with pytest.raises(UsageError):
        script(tmp_path / "in.jsonl", tmp_path / "out.jsonl", tmp_path / "a.docx")


def test_two_nodes_of_one_name_stay_apart() -> None:
    text = write_ink(
        [Spoken("A", ("One.",), "gate"), Spoken("A", ("Two.",), "gate"), Spoken("A", ("Three.",), "gate 2")]
    )
    assert [i.node for i in ink.read(numbered(text)) if i.kind == "node"] == ["gate", "gate_3", "gate_2"]


@pytest.mark.parametrize("adapter", [INK, YARN], ids=["ink", "yarn"])
def test_a_revised_script_differs_in_the_revised_lines_only(adapter: object, tmp_path: Path) -> None:
    path = INK.example if adapter is INK else YARN.example
    samples = [s for s in (INK if adapter is INK else YARN).read(path) if isinstance(s, Sample)]
    last = samples[-1].provenance
    assert last and last.line
    (tmp_path / path.name).write_text(revise(path, {last.line: "New {words} #1"}), encoding="utf-8")
    before, after = path.read_text().splitlines(), (tmp_path / path.name).read_text().splitlines()
    assert [n for n, (a, b) in enumerate(zip(before, after, strict=True), 1) if a != b] == [last.line]
    again = [s for s in (INK if adapter is INK else YARN).read(tmp_path / path.name) if isinstance(s, Sample)]
    assert again[-1].output["line"] == "New {words} #1"
    assert {**again[-1].output, "line": ""} == {**samples[-1].output, "line": ""}


def test_a_line_without_text_cannot_be_revised() -> None:
    with pytest.raises(DataError, match=r"ferry\.ink:1"):
        revise(INK.example, {1: "Hello."})
    with pytest.raises(UsageError):
        revise(DialogueSheet().example, {1: "Hello."})
