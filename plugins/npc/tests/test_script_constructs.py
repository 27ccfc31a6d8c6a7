"""Constructs of the four script formats that decide who speaks, what is shown, and what can be chosen."""

from __future__ import annotations

from pathlib import Path

import pytest

from metier.contracts import BadRow, Sample
from metier_npc.reading import INK, RENPY, TWEE, YARN
from metier_npc.scripts import twee
from metier_npc.writing.revise import revise

ADAPTERS = {"ink": INK, "yarn": YARN, "rpy": RENPY, "twee": TWEE}


def rows(tmp_path: Path, suffix: str, text: str) -> list[Sample | BadRow]:
    if suffix == "yarn":
        text = f"title: Start\n---\n{text}===\n"
    elif suffix == "twee" and not text.startswith("::"):
        text = f":: Start\n{text}"
    path = tmp_path / f"script.{suffix}"
    path.write_text(text, encoding="utf-8")
    return list(ADAPTERS[suffix].read(path))


def lines(tmp_path: Path, suffix: str, text: str) -> list[tuple[str, str]]:
    found = rows(tmp_path, suffix, text)
    assert all(isinstance(row, Sample) for row in found), found
    return [(row.input["speaker"], row.output["line"]) for row in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- {open:\n    Ada: In.\n  - else:\n    Ada: Out.\n  }\n", [("Ada", "In."), ("Ada", "Out.")]),
        ("- ~ coins = 3\nAda: Rich.\n", [("Ada", "Rich.")]),
        ("- -> elsewhere\nAda: Late.\n", [("Ada", "Late.")]),
        ("- (top) -> elsewhere\n", []),
        ("Ada: Look at <>\nthe sky\n<>, <>\nBen.\n", [("Ada", "Look at the sky, Ben.")]),
        ("Ada: No\n<>body.\n", [("Ada", "Nobody.")]),
        ("* [Go] I went.\nAda: Bye.\n", [("Narrator", "I went."), ("Ada", "Bye.")]),
        ("* [Ask] Ada: Who asks?\n", [("Ada", "Who asks?")]),
        ("* Hello[]. \n", [("Narrator", "Hello.")]),
        ("{ x:\n- 1: Ada: One.\n- else: Ada: More.\n}\n", [("Ada", "One."), ("Ada", "More.")]),
        ("{ x:\n  { y:\n    Ada: Both.\n  }\n}\nAda: After.\n", [("Ada", "Both."), ("Ada", "After.")]),
        ("Ada: \\[stage\\] left\n", [("Ada", "[stage] left")]),
        ("{lamp: Ada: Light.|Ben: Dark.}\n", [("Ada", "Light.")]),
        ("{&Ada: Hi.|Ada: Ho.}\n", [("Ada", "Hi.")]),
        ("{lamp: -> out}\n{lamp: -> out | {rope: -> in}}\n", []),
        ("{lamp: I run -> out}\n", [("Narrator", "I run")]),
        ("{lamp:\n  Ada: Light.\n} At last.\n", [("Ada", "Light."), ("Narrator", "At last.")]),
        ("Look. {lamp:\n  Ada: Light.\n}\n", [("Narrator", "Look."), ("Ada", "Light.")]),
        ("* [Go] Ada: On <>\nwe go.\n", [("Ada", "On we go.")]),
    ],
)
def test_ink(tmp_path: Path, text: str, expected: list[tuple[str, str]]) -> None:
    assert lines(tmp_path, "ink", f"=== dock ===\n{text}") == expected


def test_ink_tags_belong_to_the_line_below_them_and_to_what_follows_a_choice(tmp_path: Path) -> None:
    text = "=== a ===\n# dim\nAda: Hm. # low\n* Go #both [now #menu] Ada: On. #line2\n"
    found = [(row.output["line"], row.input.get("tags")) for row in rows(tmp_path, "ink", text)]
    assert found == [("Hm.", ["dim", "low"]), ("Go Ada: On.", ["both", "line2"])]


def test_ink_a_line_in_one_pair_of_braces_is_shown_when_its_condition_holds(tmp_path: Path) -> None:
    (row,) = rows(tmp_path, "ink", "=== a ===\n{lamp and not rope: Ada: Light.|Dark.} # low\n")
    assert (row.input["speaker"], row.input["when"], row.input["tags"]) == ("Ada", ["lamp and not rope"], ["low"])


def test_ink_branches_have_their_conditions_and_not_each_other_s_lines(tmp_path: Path) -> None:
    text = "=== a ===\nAda: Hm.\n- {lamp:\n  Ada: Light.\n  - tired: Ada: Rest.\n  - else:\n  Ada: Dark.\n}\n"
    found = {row.output["line"]: row.input for row in rows(tmp_path, "ink", text) if isinstance(row, Sample)}
    assert found["Light."]["when"] == ["lamp"]
    assert [turn["text"] for turn in found["Dark."]["history"]] == ["Hm."]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ada:Hello.\n", [("Ada", "Hello.")]),
        ("The Old Man: Hello.\n", [("The Old Man", "Hello.")]),
        ('[character name="Ada"]Hello.[/character]\n', [("Ada", "Hello.")]),
        ("At 12:30 we leave.\n", [("Narrator", "At 12:30 we leave.")]),
        ("老周：坐。\n", [("老周", "坐。")]),
        ("Ada: It costs \\#5.\n", [("Ada", "It costs #5.")]),
    ],
)
def test_yarn(tmp_path: Path, text: str, expected: list[tuple[str, str]]) -> None:
    assert lines(tmp_path, "yarn", text) == expected


def test_yarn_options_of_version_1_may_have_line_tags_and_a_condition(tmp_path: Path) -> None:
    text = "Ada: Well?\n[[Stay.|Room]] #line:01 #last\n[[Pay.|Bar]] <<if $gold > 1>>\n[[Leave.|Road]]\n"
    (line,) = rows(tmp_path, "yarn", text)
    assert line.input["choices"] == ["Stay.", "Pay.", "Leave."]


def test_yarn_words_behind_a_hashtag_are_a_bad_row(tmp_path: Path) -> None:
    first, second = rows(tmp_path, "yarn", "Ada: <size=#3>Big</size> words\nAda: Fine. #tag // why\n")
    assert isinstance(first, BadRow) and "#3" in first.reason
    assert second.output["line"] == "Fine."


def test_yarn_a_revised_narrator_s_colon_names_nobody(tmp_path: Path) -> None:
    path = tmp_path / "a.yarn"
    path.write_text("title: A\n---\nA road.\nAda: Hi.\n===\n", "utf-8")
    new = revise(path, {3: "Notice: closed.", 4: "Rule one: smile."})
    assert new.splitlines()[2:4] == ["Notice\\: closed.", "Ada: Rule one: smile."]
    path.write_text(new, "utf-8")
    assert [(r.input["speaker"], r.output["line"]) for r in YARN.read(path)] == [
        ("Narrator", "Notice: closed."), ("Ada", "Rule one: smile."),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('    a "One{nw}"\n    extend " two."\n', [("Ada", "One"), ("Ada", "two.")]),
        (
            '    """\n    First.\n\n    Second\n    line.\n    """\n',
            [("Narrator", "First."), ("Narrator", "Second line.")],
        ),
        ('    centered "Chapter one"\n    narrator "Rain."\n', [("Narrator", "Chapter one"), ("Narrator", "Rain.")]),
        ('    a happy @ wry -hat "As if."\n', [("Ada", "As if.")]),
        ('    a "First.{p}Second.{w=1.0} Third."\n', [("Ada", "First. Second. Third.")]),
        ('    a "{rb}東京{/rb}{rt}とうきょう{/rt}へ"\n', [("Ada", "東京へ")]),
        ('    a "Hello." (what_size=30)\n', [("Ada", "Hello.")]),
    ],
)
def test_renpy(tmp_path: Path, text: str, expected: list[tuple[str, str]]) -> None:
    assert lines(tmp_path, "rpy", f'define a = Character("Ada")\nlabel start:\n{text}') == expected


def test_renpy_choices_take_arguments_and_conditions(tmp_path: Path) -> None:
    text = (
        'label a:\n    menu:\n        "Where?"\n        "Up" (hint="(steep)", n=2):\n            "Wind."\n'
        '        "Down" (n=1) if rope and (x > 1):\n            "Dark."\n'
    )
    found = {row.output["line"]: row.input for row in rows(tmp_path, "rpy", text)}
    assert found["Where?"]["choices"] == ["Up", "Down"]
    assert found["Dark."]["when"] == ["rope and (x > 1)"]
    assert [turn["text"] for turn in found["Dark."]["history"]] == ["Where?", "Down"]


def test_renpy_translations_of_other_labels_are_no_history(tmp_path: Path) -> None:
    text = (
        'translate fr start_0a1b2c3d:\n    "Un."\n\ntranslate fr start_1a1b2c3d_1:\n    "Deux."\n\n'
        'translate fr fin_2a1b2c3d:\n    "Trois."\n'
    )
    history = [[turn["text"] for turn in row.input.get("history", [])] for row in rows(tmp_path, "rpy", text)]
    assert history == [[], ["Un."], []]


def test_renpy_names_come_from_the_game_s_other_files_where_they_agree(tmp_path: Path) -> None:
    (tmp_path / "cast.rpy").write_text('define e = Character("Edda")\ndefine t = Character("Tom")\n', "utf-8")
    (tmp_path / "old.rpy").write_text('define t = Character("Tim")\n', "utf-8")
    assert lines(tmp_path, "rpy", 'label b:\n    e "Hi."\n    t "Ho."\n') == [("Edda", "Hi."), ("t", "Ho.")]


@pytest.mark.parametrize(
    ("text", "shown", "links"),
    [
        ("(if: $a)[[[Open->Hall]]]", "", ("Open",)),
        ("(if: $a)[Yes.](else-if: $b)[Maybe.](else:)[No.]", "Yes.", ()),
        ("<<if $a>>Yes.<<else>>No.<<endif>>", "Yes.", ()),
        ("<<if $a>>One.<<elseif $b>>Two.<<else>>Three.<</if>> End.", "One. End.", ()),
        ('<<link "Go" "Hall">><<set $x to 1>>gone<</link>>', "", ("Go",)),
        ("<<link [[Go|Hall]]>><</link>>", "", ("Go",)),
        ('<<button "Rest">><</button>>', "", ("Rest",)),
        ("(link: 'Knock')[Nobody answers.]", "", ("Knock",)),
        ('(link-goto: "Run", "Hall") (link-goto: "Hide", "Attic")', "", ("Run", "Hide")),
        ("See https://example.org/a for //more//.", "See https://example.org/a for more.", ()),
        ("A /* hidden */ word <!-- and --> more", "A word more", ()),
        ("You see the [[door->Hall]] here.", "You see the door here.", ("door",)),
    ],
)
def test_twee(text: str, shown: str, links: tuple[str, ...]) -> None:
    found = [i for i in twee.read(enumerate([":: A\n", text + "\n"], 1)) if i.kind in {"line", "choice"}]
    assert [(i.display_text, i.links) for i in found] == [(shown, links)]


def test_twee_comments_and_blocks_go_over_lines(tmp_path: Path) -> None:
    text = "/* Ada: no\nAda: no */Ada: Yes.\n<!-- Ada: no\n--> <<if $x>>\nAda: When.\n<<endif>>\nAda: Always.\n"
    found = [(row.output["line"], row.input.get("when")) for row in rows(tmp_path, "twee", text)]
    assert found == [("Yes.", None), ("When.", ["$x"]), ("Always.", None)]


def test_twee_modifiers_of_chapbook_are_conditions(tmp_path: Path) -> None:
    text = "[if hasKey]\nAda: In.\n[else]\nAda: Out.\n[continued]\nAda: So.\n"
    found = [(row.output["line"], row.input.get("when")) for row in rows(tmp_path, "twee", text)]
    assert found == [("In.", ["hasKey"]), ("Out.", ["not (hasKey)"]), ("So.", None)]
