"""A whole interactive film: its graph is sound or says why not, and Ink and Twee hold every node and choice."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.contracts import ContractError
from metier_screenplay.story import problems, to_ink, to_twee


def node(name: str, *to: str, text: str = "Something happens.", ending: bool = False) -> dict[str, Any]:
    choices = [{"text": f"Go to {t}", "to": t} for t in to]
    return {"node": name, "text": text, "choices": choices, "ending": ending}


GOOD = [node("start", "cellar", "attic"), node("cellar", "start", "attic"), node("attic", ending=True)]


def test_a_story_with_a_loop_and_an_ending_is_sound() -> None:
    assert problems(GOOD) == []


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("a", "b"), node("b")], "b is a dead end"),
        ([node("a", "b"), node("b", "a")], "a can reach no ending"),
        ([node("a", ending=True), node("b", ending=True)], "nothing leads to b"),
        ([node("a", "b")], "leads to b, which is not written"),
        ([node("a", ending=True), node("a", ending=True)], "a is repeated"),
        ([], "no node to start from"),
    ],
)
def test_what_is_wrong_with_a_graph_is_named_and_nothing_is_written(nodes: list[dict[str, Any]], message: str) -> None:
    assert any(message in f.message for f in problems(nodes))
    for write in (to_ink, to_twee):
        with pytest.raises(ContractError):
            write(nodes)


def test_ink_has_a_knot_a_node_and_ends() -> None:
    assert to_ink(GOOD) == (
        "-> start\n\n"
        "=== start ===\nSomething happens.\n+ [Go to cellar]\n    -> cellar\n+ [Go to attic]\n    -> attic\n"
        "\n=== cellar ===\nSomething happens.\n+ [Go to start]\n    -> start\n+ [Go to attic]\n    -> attic\n\n"
        "=== attic ===\nSomething happens.\n-> END\n"
    )


def test_twee_names_its_start_and_its_endings() -> None:
    written = to_twee(GOOD, "House")
    assert written.startswith(":: StoryTitle\nHouse\n\n\n:: StoryData\n")
    data = json.loads(re.search(r"StoryData\n(\{.*?\n\})", written, re.S)[1])  # type: ignore[index]
    assert data["start"] == "start" and re.fullmatch(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", data["ifid"])
    assert ":: attic [ending]\nSomething happens." in written and "[[Go to attic->attic]]" in written


@given(st.text(alphabet="ab {}[]|#~<->/*=+:\\\n中VAR ", max_size=40))
def test_no_text_of_a_node_is_read_as_the_formats_own(text: str) -> None:
    story = [node("a", "b", text=text or "x"), node("b", ending=True)]
    ink, twee = to_ink(story), to_twee(story)
    # Escapes undone, the words are all there; unescaped, nothing of the format's is in them.
    knot = ink.partition("=== a ===\n")[2].partition("\n+ [")[0] if "=== a ===\n+ [" not in ink else ""
    assert re.sub(r"\\(.)", r"\1", knot).split() == text.split() or not text.strip()
    assert not re.search(r"(?<!\\)(?:\\\\)*[{}|#\[\]]|->|<-|<>|//|/\*", knot)
    assert len(re.findall(r"(?m)^:: ", twee)) == 4 and twee.count("[[") == 1


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.lists(st.sampled_from("abcd"), max_size=3), st.booleans()), max_size=5
    )
)
def test_a_sound_graph_lets_every_walk_end(shape: list[tuple[str, list[str], bool]]) -> None:
    nodes = [node(name, *([] if ending else to), ending=ending) for name, to, ending in shape]
    if problems(nodes):
        return
    exits = {n["node"]: [c["to"] for c in n["choices"]] for n in nodes}
    for name in exits:
        seen, edge = {name}, [name]
        while edge:
            edge = [t for e in edge for t in exits[e] if t not in seen]
            seen |= set(edge)
        assert any(not exits[s] for s in seen)


def test_a_node_called_like_a_word_of_inks_is_another_knot() -> None:
    written = to_ink([node("start", "else"), node("else", ending=True)])
    assert "    -> else_node\n" in written and "=== else_node ===" in written


def test_two_stories_under_one_title_have_their_own_ifids_and_a_title_is_one_line() -> None:
    one, other = to_twee(GOOD, "A\n:: b"), to_twee(GOOD[2:], "A\n:: b")
    assert one.startswith(":: StoryTitle\nA :: b\n\n")
    assert re.findall(r'"ifid": "(.*)"', one) != re.findall(r'"ifid": "(.*)"', other)
