"""A scene, a rewrite and a node are whole: in their language, ended, no line again and again; an echo is speech."""

from __future__ import annotations

from typing import Any

import pytest

from metier_screenplay.checks.whole import run

BRIEF = {"beats": ["Mara hears a noise."], "characters": [{"name": "Mara"}, {"name": "Tom"}], "language": "en"}


def messages(text: str, **fields: Any) -> list[str]:
    return [f.message for f in run({**BRIEF, **fields}, {"text": f"INT. BAKERY - NIGHT\n\n{text}"})]


@pytest.mark.parametrize(
    "text",
    [
        "Mara lifts a lamp.\n\nTOM\nRun! Run!",
        "Mara lifts a lamp.\n\nTOM\nI'm fine, I'm fine.",
        "She comes in. In her hand, a loaf.",
        "TOM\nMore potato than man.\n\nMara waits.\n\nTOM\nMore potato than man.\n\nHe bows.",
    ],
)
def test_speech_may_echo_and_a_line_may_come_back(text: str) -> None:
    assert messages(text) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Mara lifts a lamp and looks behind the", "breaks off at the end"),
        ("Mara lifts the lamp.\n\nMara lifts the lamp at last.\n\nMara lifts the lamp at last.", "the same line"),
        ("She opens the oven door, looks in, she opens the oven door.", "says the same twice"),
        ("Mara lifts a lamp. 面粉袋打了个喷嚏。", "leaves the language"),
    ],
)
def test_what_a_reader_would_not_pass_on_is_found(text: str, message: str) -> None:
    assert any(found.startswith(message) for found in messages(text))


def test_chinese_scenes_are_read_as_english_ones() -> None:
    case = {**BRIEF, "language": "zh"}
    good = {"text": "INT. 面包房 - 夜\n\n面粉袋打了个喷嚏。\n\n@汤姆\nX，I，A，N，G，拼出来就是它。"}
    assert run(case, good) == []
    assert run(case, {"text": "INT. 面包房 - 夜\n\n面粉袋打了个喷嚏，玛拉举起灯和"})
    assert run(case, {"text": "INT. 面包房 - 夜\n\n玛拉举起灯。 She lifts the lamp very slowly."})


def test_a_node_and_its_choices_are_whole() -> None:
    case = {"scene": "The lights go out.", "choices": [{"text": "Call", "to": "call"}], "chosen": "Call"}
    node = {"node": "call", "text": "Nobody answers.", "choices": [{"text": "Tell her not to", "to": "a"}]}
    assert run(case, node) == []
    assert [f.message for f in run(case, {**node, "choices": [{"text": "Wait for the", "to": "a"}]})] == [
        "a choice breaks off"
    ]
