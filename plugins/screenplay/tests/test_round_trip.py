"""Fountain → elements → Fountain loses nothing: on real files, on fragments put together at random, on any text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from metier_screenplay.script import Element, parse, write

SHARED = Path(__file__).parents[3].parent / "shared" / "data" / "fountain"
REAL = sorted(SHARED.glob("*.fountain"))

PIECES = [
    "INT. HOUSE - DAY", "int. house #4-A#", ".FORCED", "...", ".45 calibre", "EXT. STREET - NIGHT", "JOE", "@McCoy",
    "JOE (V.O.)", "ANN ^", "(quietly)", "Hello there.", "~la la", "CUT TO:", "> FADE OUT.", "> THE END <", "# Act",
    "## Two", "= it happens", "===", "====", "", "", "", "  ", "   ", "[[note]]", "[[two", "lines]]", "/* cut", "*/",
    "/* one */", "a /* b */ c", "!FORCED", "! spaced", "    indented", "\tTAB", "BOOM", "Title: X", "Author:", "*",
    "_u_", "**b**", "李雷", "@李雷", "内景 厨房", "INT. 厨房 - 夜", "!", "@", ">", "<", "><", "#", "=", "~", "[[", "]]",
    "^", "A^",
    "FADE IN:", "JOE [[age?]]", "[[x]] JOE", "/*x*/ INT. A", "#1#", "INT. #1#",
]  # fmt: skip


def letters(text: str) -> str:
    """Everything but white space and the marks whose only work is to force or to set apart."""
    return re.sub(r"[\s!@^=>.~#<\ufeff]", "", text)


def round_trip(text: str) -> None:
    elements = parse(text)
    written = write(elements)
    assert parse(written) == elements
    assert letters(written) == letters(text)
    assert write(parse(written)) == written


@pytest.mark.skipif(not REAL, reason="shared/data is not there")
def test_real_files_come_back_word_for_word_and_line_for_line() -> None:
    for path in REAL:
        text = path.read_text(encoding="utf-8-sig")
        round_trip(text)
        assert [w for w in write(parse(text)).split() if w != "^"] == [
            w.rstrip("^").replace("====", "===") for w in text.split() if w != "^"
        ], path.name


@example("...\n[[two\n/* cut\n[[note]]\n.FORCED\n*/")
@example("b\n~ /*\n[)*A\t@-_*/b")
@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=14).map("\n".join))
def test_any_run_of_lines_comes_back(text: str) -> None:
    round_trip(text)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from("AbC #=>~.!@^[]/*():\n\t<_-中1"), max_size=60))
def test_any_text_comes_back(text: str) -> None:
    round_trip(text)


@given(st.lists(st.sampled_from(["heading", "action", "character", "transition", "section", "synopsis"]), max_size=6))
def test_elements_built_in_code_keep_their_kind(kinds: list[str]) -> None:
    built = [Element(kind, f"Some {kind}", depth=kind == "section") for kind in kinds]  # type: ignore[arg-type]
    found = parse(write([*built, Element("dialogue", "Yes.")]))
    # A cue needs words below it, and words a cue: alone, each is action.
    assert [e.kind for e in found if e.kind in {"heading", "section", "synopsis"}] == [
        k for k in kinds if k in {"heading", "section", "synopsis"}
    ]
