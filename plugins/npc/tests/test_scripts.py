"""Script formats: no character is lost, and what is spoken, by whom and when is distinguished from the rest."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metier_npc.reading import INK, RENPY, TWEE, YARN
from metier_npc.scripts import ink, renpy, twee, yarn
from metier_npc.scripts.item import Item, lines_of, numbered, write

READERS = {"ink": ink.read, "yarn": yarn.read, "rpy": renpy.read, "twee": twee.read}
SHARED = next((p / "shared" / "data" for p in Path(__file__).parents if (p / "shared" / "data").is_dir()), None)
FILES = sorted(f for suffix in READERS for f in SHARED.rglob(f"*.{suffix}")) if SHARED else []


def items(format: str, text: str) -> list[Item]:
    return list(READERS[format](numbered(text)))


def spoken(format: str, text: str) -> list[tuple[str | None, str]]:
    return [(i.speaker, i.display_text) for i in items(format, text) if i.kind == "line" and i.display_text]


def choices(format: str, text: str) -> list[str]:
    return [i.display_text for i in items(format, text) if i.kind == "choice"]


MARKS = (
    "* + - -> <- { } [ ] # // /* */ ~ == === = : | \\ << >> <<if $x>> <<endif>> => --- title: menu: label if else: "
    '""" \' e show ( ) :: [[ ]] (if: \n \r\n \t a Mira: word 你好： {x:y|z} <> TODO: VAR {shuffle:\n'
)
PIECES = st.sampled_from(MARKS.split(" "))


@pytest.mark.parametrize("format", READERS)
@settings(max_examples=200, deadline=None)
@given(
    text=st.one_of(st.text(), st.lists(PIECES, max_size=40).map(" ".join), st.lists(PIECES, max_size=40).map("".join))
)
def test_whatever_a_script_holds_comes_back_character_by_character(format: str, text: str) -> None:
    for start in ("", "title: A\n---\n", ":: A\n"):
        read = items(format, start + text)
        assert write(read) == start + text
        assert all(i.text == "" or i.kind in {"bad", "other", "node"} or i.line >= 1 for i in read)
        assert [i.line for i in read] == sorted(i.line for i in read)


@pytest.mark.skipif(not FILES, reason="the shared data folder is not there")
@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_a_real_script_comes_back_character_by_character_and_none_of_it_is_bad(path: Path) -> None:
    read = list(READERS[path.suffix[1:]](lines_of(path)))
    assert write(read) == "".join(text for _, text in lines_of(path))
    assert all(i.kind != "bad" for i in read)


@pytest.mark.skipif(not FILES, reason="the shared data folder is not there")
def test_the_question_is_read_with_its_cast_and_its_menus() -> None:
    path = next(f for f in FILES if f.name == "the_question.rpy")
    read = list(renpy.read(lines_of(path)))
    assert {i.speaker for i in read if i.kind == "line"} == {"Sylvie", "Me", None}
    assert [i.display_text for i in read if i.kind == "choice"][:2] == ["To ask her right away.", "To ask her later."]
    hello = next(i for i in read if i.display_text == "Hi there! How was class?")
    assert (hello.speaker, hello.node) == ("Sylvie", "rightaway")
    quotes = sum(line.strip().endswith('"') and line.startswith("    ") for _, line in lines_of(path))
    assert sum(i.kind == "line" for i in read) >= 0.9 * quotes


def test_ink_separates_words_from_weave_logic_and_diverts() -> None:
    text = (
        "VAR x = 1\n=== inn ===\n~ x = 2\nMira: Sit. # happy -> out // why\n"
        "* (ask) {x > 1} Who[?] are you? -> inn\n- (g) Well.\n"
    )
    assert spoken("ink", text) == [("Mira", "Sit."), (None, "Who are you?"), (None, "Well.")]
    (choice,) = [i for i in items("ink", text) if i.kind == "choice"]
    assert (choice.display_text, choice.conditions, choice.target) == ("Who?", ("x > 1",), "inn")
    (line,) = [i for i in items("ink", text) if i.speaker]
    assert (line.tags, line.target, line.node) == (("happy",), "out", "inn")


@pytest.mark.parametrize(
    ("source", "display_text"),
    [
        ("One {two|three} four", "One two four"), ("{x: yes|no}", "yes"), ("{x} coins", "{x} coins"),
        ("a {b|{c|d}} e", "a b e"), (r"\{no\} \#tag", "{no} #tag"),
        ("glue <>", "glue"), ("see /* note */ this", "see this"),
        ("{&a|b}{!c|d}", "ac"),
    ],
)  # fmt: skip
def test_the_text_of_ink_alternatives_is_the_first(source: str, display_text: str) -> None:
    assert spoken("ink", source) == [(None, display_text)]


def test_ink_blocks_give_their_conditions_to_the_lines_within() -> None:
    text = (
        "{ trust > 2:\n  Mira: Sit.\n- else:\n  Mira: Go.\n}\nMira: Bye.\n{stopping:\n- Mira: One.\n- Mira: Two.\n}\n"
    )
    assert [(i.display_text, i.within) for i in items("ink", text) if i.kind == "line"] == [
        ("Sit.", ("trust > 2",)), ("Go.", ("not (trust > 2)",)), ("Bye.", ()), ("One.", ("",)), ("Two.", ("",)),
    ]  # fmt: skip


def test_ink_comments_over_lines_are_not_spoken() -> None:
    assert spoken("ink", "/* Mira: no\nMira: nor this */\nMira: Yes.\n") == [("Mira", "Yes.")]


def test_yarn_separates_options_commands_tags_and_escapes() -> None:
    text = (
        "title: Inn\n---\n<<if $x>>\nHobb: In \\#1 {$name}! [b]Now[/b] #line:1 #happy // c\n<<else>>\n"
        "Hobb: Out.\n<<endif>>\n"
        "-> Stay <<if $gold > 1>> #line:2\n    Hobb: Good.\n-> Go\nBye\\: all\n===\n"
    )
    assert spoken("yarn", text) == [
        ("Hobb", "In #1 {$name}! Now"), ("Hobb", "Out."), ("Hobb", "Good."), (None, "Bye: all"),
    ]  # fmt: skip
    assert choices("yarn", text) == ["Stay", "Go"]
    lines = [i for i in items("yarn", text) if i.kind == "line"]
    assert [i.within for i in lines] == [("$x",), ("not ($x)",), (), ()]
    assert [i.depth for i in lines] == [0, 0, 1, 0] and lines[0].tags == ("line:1", "happy")


def test_yarn_1_options_are_choices_and_its_jumps_are_not_spoken() -> None:
    text = "title: Inn\n---\nHobb: Well?\n[[Stay, please.|Room]]\n  [[Go|Road]]\n[[Kitchen]]\n===\n"
    assert choices("yarn", text) == ["Stay, please.", "Go"] and spoken("yarn", text) == [("Hobb", "Well?")]
    assert [i.target for i in items("yarn", text) if i.target] == ["Room", "Road", "Kitchen"]


def test_renpy_knows_say_statements_from_other_statements() -> None:
    text = (
        'define e = Character(_("Eileen"), image="eileen")\nimage bg = "bg.png"\nlabel start:\n    play music "a.ogg"\n'
        '    show eileen happy at left\n    e "Hi, {b}you{/b}."\n    e sad "Oh \\"no\\"." with vpunch\n'
        '    "Ann" "Me too."\n'
        '    python:\n        x = "not said"\n    $ y = "nor this"\n    if x:\n        e "Yes."\n'
        '    else:\n        "Dark."\n'
        '    e "It goes\n      on."\n    menu:\n        "Well?"\n        "Go" if x > 1:\n            e "Bye."\n'
    )
    assert spoken("rpy", text) == [
        ("Eileen", "Hi, you."), ("Eileen", 'Oh "no".'), ("Ann", "Me too."), ("Eileen", "Yes."), (None, "Dark."),
        ("Eileen", "It goes on."), (None, "Well?"), ("Eileen", "Bye."),
    ]  # fmt: skip
    lines = [i for i in items("rpy", text) if i.kind == "line"]
    assert [i.tags for i in lines[:2]] == [("happy",), ("sad",)]
    assert [i.within for i in lines[3:5]] == [("x",), ("not (x)",)]
    (choice,) = [i for i in items("rpy", text) if i.kind == "choice"]
    assert (choice.display_text, choice.conditions) == ("Go", ("x > 1",))


def test_a_renpy_string_that_is_never_closed_does_not_swallow_the_file() -> None:
    text = '    "open\n' + '    e "Hello."\n' * 3
    assert any(i.kind == "bad" for i in items("rpy", text)) or spoken("rpy", text)


def test_twee_separates_prose_from_links_macros_and_code() -> None:
    text = (
        ':: StoryData\n{"ifid": "X"}\n\n:: Code [script]\nvar a = "Mira: no";\n\n:: Inn [night] {"position":"1,1"}\n'
        "<<set $a to 1>>Mira: ''Sit'' by the [[fire->Hearth]].\n<<if $lamp>>\nA light.\n<</if>>\n"
        "[[Go|Road]] [[Inn<-Stay]]\n"
    )
    assert spoken("twee", text) == [("Mira", "Sit by the fire."), (None, "A light.")]
    lines = [i for i in items("twee", text) if i.kind == "line"]
    assert lines[0].links == ("fire",) and lines[1].within == ("$lamp",) and lines[0].node == "Inn"
    (last,) = [i for i in items("twee", text) if i.kind == "choice"]
    assert last.links == ("Go", "Stay") and last.target == "Road"


@pytest.mark.timeout(300)  # a pattern that goes back over a text of this length does not end
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_reading_takes_work_in_proportion_to_the_text(reader: Callable[..., Iterator[Item]]) -> None:
    def calls(hard: str) -> int:
        count = 0

        def called(frame: object, event: str, _: object) -> None:
            nonlocal count
            count += event in {"call", "c_call"}

        sys.setprofile(called)
        try:
            list(reader(numbered(f"title: A\n---\n:: A\n{hard}\n")))
        finally:
            sys.setprofile(None)
        return count

    for piece in ("{", "[[", "* ", '"', "<<if ", "(if: (", "A ", "\\"):
        calls(piece)  # what is made once, such as patterns
        assert calls(piece * 80_000) <= 2.1 * calls(piece * 40_000) + 100, piece


def test_the_examples_belong_to_their_formats() -> None:
    for adapter in (INK, YARN, RENPY, TWEE):
        assert [a for a in (INK, YARN, RENPY, TWEE) if a.accepts(adapter.example)] == [adapter]
