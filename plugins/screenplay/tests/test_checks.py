"""Each check on what a script editor would pass and what they would mark."""

from __future__ import annotations

import pytest

from metier_screenplay.checks import camera, cast, heading, length, scene_form
from metier_screenplay.checks.examples import BRIEF, TEXT, scene
from metier_screenplay.checks.graph import no_dead_end, reachable
from metier_screenplay.checks.rewrite import lines_fit, lines_kept
from metier_screenplay.script import parse
from metier_screenplay.script.pages import lines_of, minutes, pages


def messages(check: object, body: dict[str, object], **brief: object) -> list[str]:
    return [f.message for f in check.run({**BRIEF, **brief}, body)]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("Mara waits.", "nobody speaks"),
        ("MARA\nOut.\n\nTOM\nNo.", "there is no action"),
        ("A sack sneezes.\n\nMARA\n(softly)", "a cue without dialogue"),
        ("A sack.\nMARA\nOut.", "a cue that no blank line sets apart reads as action"),
        ("A sack.\n\nMARA\nOut.\n\nINT. YARD - DAY\n\nMud.", "it holds 2 scenes"),
        ("A sack.\n\n= He dies.\n\nMARA\nOut.", "a synopsis is not printed in a scene"),
        ("A sack. \n\n[[fix this]]\n\nMARA\nOut.", "a note is not printed in a scene"),
    ],
)
def test_a_scene_that_is_not_fountain_as_expected_is_marked(body: str, message: str) -> None:
    assert any(message in m for m in messages(scene_form, scene(body)))


def test_a_heading_needs_a_blank_line_below_and_must_come_first() -> None:
    assert "no blank line follows" in messages(scene_form, {"text": "INT. BAKERY - NIGHT\nA sack.\n\nMARA\nOut."})[0]
    assert (
        "does not begin"
        in messages(scene_form, {"text": "FADE IN:\n\nINT. BAKERY - NIGHT\n\nA sack.\n\nMARA\nOut."})[0]
    )
    assert messages(scene_form, {"text": ""}) != []


def test_lyrics_dual_dialogue_and_transitions_are_good_fountain() -> None:
    body = "A lamp.\n\nMARA\n~La la la\n\nTOM ^\nStop.\n\n> FADE OUT."
    assert messages(scene_form, scene(body)) == messages(cast, scene(body)) == []


@pytest.mark.parametrize(
    "line", ["INT. BAKERY - NIGHT", "INT. THE OLD BAKERY - NIGHT", "INT. BAKERY - BACK ROOM - NIGHT"]
)
def test_headings_of_the_trade_pass(line: str) -> None:
    assert messages(heading, {"text": f"{line}\n\nA sack."}) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("EXT. BAKERY - NIGHT", "the heading EXT"),
        ("INT. BAKERY - DAY", "the time is night"),
        ("INT. CELLAR - NIGHT", "the place is bakery"),
        ("int. bakery - night", "not in capitals"),
        ("INT BAKERY - NIGHT", "does not begin with INT. or EXT."),
        (".BAKERY - NIGHT", "does not begin with INT. or EXT."),
    ],
)
def test_headings_that_miss_the_brief_or_the_form_are_marked(line: str, message: str) -> None:
    assert any(message in m for m in messages(heading, {"text": f"{line}\n\nA sack."}))


def test_a_cue_may_be_a_word_of_the_name_and_carry_extensions() -> None:
    brief = {"characters": [{"name": "Brick Braddock"}, {"name": "Dick Steel"}]}
    assert messages(cast, scene("Heat.\n\nSTEEL (V.O.) (CONT'D)\nBeer.\n\nBRICK ^\nCold?"), **brief) == []
    assert messages(cast, scene("Heat.\n\nSTEELE\nBeer.\n\nBRICK\nCold?"), **brief)[0].startswith("STEELE speaks")


def test_a_member_of_the_cast_who_never_appears_is_missed() -> None:
    assert messages(cast, scene("Mara yawns.")) == ["Tom is in the cast, but not in the scene"]
    chinese = {"characters": [{"name": "周婆"}, {"name": "小梅"}]}
    assert messages(cast, scene("小梅捧着罐子。\n\n@周婆\n给我。"), **chinese) == []


def test_length_is_counted_as_courier_sets_it() -> None:
    assert lines_of(parse("INT. A - DAY\n\nOne line.\n\nJOE\n(low)\nHello.")) == 7
    assert lines_of(parse("INT. A - DAY\n\n" + "word " * 24)) == 2 + 2
    assert lines_of(parse("JOE\n" + "word " * 14)) == 1 + 2
    page = parse("INT. A - DAY\n\n" + "\n\n".join("Beat." for _ in range(27)))
    assert pages(page) == minutes(page) == 1.0
    assert messages(length, scene("\n\n".join("Beat." for _ in range(27)))) == []
    assert "1.04 pages, about 62 seconds" in messages(length, scene("\n\n".join("Beat." for _ in range(28))))[0]


def test_hidden_text_takes_no_room_and_full_width_characters_take_two_places() -> None:
    assert lines_of(parse("A.\n\n/* cut\nall\nthis */\n\n# Act\n\n= beat\n\nB.")) == 3
    assert lines_of(parse("JOE\n" + "字" * 18)) == 1 + 2


def test_a_speech_over_a_quarter_of_a_page_is_marked() -> None:
    assert messages(length, scene("A sack.\n\nMARA\n" + "flour " * 90))[0].startswith("a speech of")


@pytest.mark.parametrize(
    "body",
    [
        "The camera pans to Mara.",
        "CLOSE ON: a sack.",
        "We zoom in on Tom.",
        "ANGLE ON Mara.",
        "POV of the sack.",
        "特写：面粉。",
    ],
)
def test_camera_directions_are_marked_unless_the_house_allows_them(body: str) -> None:
    assert messages(camera, scene(body)) and not messages(camera, scene(body), camera=True)


@pytest.mark.parametrize(
    "body",
    [
        "Mara holds a camera.", "The shop doors close on Tom.", "A pan of milk boils.", "He tracks mud across the mat.",
        "MARA\nClose-up, he looked worse. The camera loved him.", "The cu tree.",
    ],
)  # fmt: skip
def test_cameras_and_pans_that_are_things_pass(body: str) -> None:
    assert messages(camera, scene(body)) == []


NOTE = {"character": "Mara", "lines": ["Out.", "Now."], "note": "softer", "max_words": 4}


def test_a_rewrite_keeps_the_line_count_and_changes_the_words() -> None:
    assert not lines_kept(NOTE, {"text": "After you.\nWhen you're ready."})
    for wrong in (
        "After you.",
        "Out.\nNow.",
        "MARA\nAfter you.",
        "Mara: After you.\nGo.",
        "After you.\n\nGo.",
        "> A.\nB.",
    ):
        assert lines_kept(NOTE, {"text": wrong}), wrong


def test_words_are_counted_by_line_and_han_characters_singly() -> None:
    assert not lines_fit(NOTE, {"text": "You don't-you know it.\n今天不渡"})
    assert lines_fit(NOTE, {"text": "One two three four five."}) and lines_fit(NOTE, {"text": "今天不渡河"})


CROSSING = {"scene": "A knock.", "choices": [{"text": "Open", "to": "open"}], "chosen": "Open"}
NODE = {"node": "open", "text": "Nobody.", "choices": [{"text": "Shut", "to": "shut"}], "ending": False}


def test_a_node_leads_on_or_ends() -> None:
    assert not no_dead_end(CROSSING, NODE) and not reachable(CROSSING, NODE)
    assert not no_dead_end({**CROSSING, "end": True}, {**NODE, "choices": [], "ending": True})
    for wrong in (
        {"choices": []},
        {"ending": True},
        {"choices": [{"text": "Again", "to": "open"}]},
        {"choices": [{"text": "A", "to": "x"}, {"text": "B", "to": "x"}]},
        {"choices": [{"text": "A", "to": "x"}, {"text": "a", "to": "y"}]},
    ):
        assert no_dead_end(CROSSING, {**NODE, **wrong}), wrong
    assert no_dead_end({**CROSSING, "end": True}, NODE)


def test_a_node_is_the_one_the_choice_leads_to() -> None:
    assert reachable(CROSSING, {**NODE, "node": "cellar"}) and reachable({**CROSSING, "chosen": "Run"}, NODE)


def test_the_checks_own_example_passes_them_all() -> None:
    assert [m for c in (scene_form, heading, cast, length, camera) for m in messages(c, TEXT)] == []
