"""Each rule finds what it must find, and leaves alone what a writer would leave alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metier.contracts import Check
from metier_npc.checks import (
    CHECKS,
    action_allowed,
    bark_variety,
    bubble,
    in_character,
    keeps_secrets,
    numbers_known,
    persona_fresh,
    spoken,
)
from metier_npc.checks.variety import variety_of


def line(text: str, action: str = "none") -> dict[str, Any]:
    return {"line": text, "emotion": "neutral", "action": action, "remember": []}


def found(check: Check, output: dict[str, Any], **input: Any) -> list[str]:
    return [f.message for f in check.run({"speaker": "Mira", **input}, output)]


@pytest.mark.parametrize(
    ("text", "input"),
    [
        ("As an AI language model, I have no boat.", {}), ("I'm sorry, I can't assist with that.", {}),
        ("作为人工智能，我不能划船。", {}),
        ("The NPCs are asleep.", {}), ("Press the A button to row.", {}), ("玩家，你好。", {}),
        ("Check your phone.", {"era": "medieval"}), ("The railway is late.", {"era": "ancient"}),
        ("拿手机照一下。", {"era": "industrial"}),
        ("We go at warp speed.", {"era": "modern"}), ("See you on Tuesday!", {"never_say": ["Tuesday"]}),
        ("教堂那边走。", {"never_say": ["教堂"]}),
    ],
)  # fmt: skip
def test_words_from_outside_the_world_are_found(text: str, input: dict[str, Any]) -> None:
    assert found(in_character, line(text), **input)


@pytest.mark.parametrize(
    ("text", "input"),
    [
        ("Aim for the bank.", {}), ("The prompt answer pleased her.", {}), ("He trains knights.", {"era": "ancient"}),
        ("My phone is dead.", {"era": "modern"}), ("My phone is dead.", {}),
        ("Beam me to the starship.", {"era": "future"}),
        ("I am an AI. I steer.", {"persona": "an AI that steers"}),
        ("The computer hums.", {"era": "medieval", "world": "a computer"}),
        ("Tuesdays are dull.", {"never_say": ["Tuesday"]}), ("两文钱，坐稳了。", {"era": "medieval"}),
    ],
)  # fmt: skip
def test_words_of_the_world_pass(text: str, input: dict[str, Any]) -> None:
    assert not found(in_character, line(text), **input)


ROPE = {
    "about": "the wreck of the Heron",
    "text": "Mira cut the rope to drown Captain Brant",
    "when": "trust",
    "at_least": 3,
}
CODE = {"about": "the vault", "text": "the code is 4471", "when": "hired"}
ZH = {"about": "沉船", "text": "船是周婆砍断缆绳放走的", "when": "信任", "at_least": 3}


@pytest.mark.parametrize(
    ("text", "secret", "state"),
    [
        ("I cut the rope. I'm not proud.", ROPE, {"trust": 2}), ("Ask Brant. Oh, you can't.", ROPE, {}),
        ("He was to drown, so I cut it.", ROPE, {"trust": "no"}), ("Try 4471.", CODE, {"hired": False}),
        ("是我砍断缆绳的。", ZH, {"信任": 1}),
    ],
)  # fmt: skip
def test_a_locked_secret_that_falls_is_found(text: str, secret: dict[str, Any], state: dict[str, Any]) -> None:
    (message,) = found(keeps_secrets, line(text), secrets=[secret], state=state)
    assert secret["about"] in message and secret["when"] in message


@pytest.mark.parametrize(
    ("text", "input"),
    [
        ("Boats sink. The Heron too.", {}), ("I cut the rope.", {"state": {"trust": 3}}), ("Hold the rope.", {}),
        ("What captain?", {}), ("Brant? I know no Brant.", {"history": [{"who": "Player", "text": "Who is Brant?"}]}),
    ],
)  # fmt: skip
def test_a_secret_that_is_kept_or_open_passes(text: str, input: dict[str, Any]) -> None:
    assert not found(keeps_secrets, line(text), secrets=[ROPE], **input)


@pytest.mark.parametrize(("action", "allowed"), [("wave", ["none", "wave"]), ("none", None), ("none", [])])
def test_an_action_of_the_list_passes_and_none_means_no_list(action: str, allowed: list[str] | None) -> None:
    assert not found(action_allowed, line("Hm.", action), **({} if allowed is None else {"actions": allowed}))
    assert found(action_allowed, line("Hm.", "Wave"), **({} if allowed is None else {"actions": allowed}))


@pytest.mark.parametrize(("text", "width"), [("abc", 3), ("你好", 4), ("é", 1), ("ｆｕｌｌ", 8), ("", 0)])
def test_a_bubble_counts_full_width_characters_twice(text: str, width: int) -> None:
    assert not found(bubble, line(text), max_chars=max(1, width))
    assert width < 2 or found(bubble, line(text), max_chars=width - 1)
    assert not found(bubble, line(text))


@pytest.mark.parametrize(
    "text",
    ["Mira: Get in.", "Get in. Player: No.", "*sighs* Get in.", "(quietly) Get in.", "Get in. (leaves)", "Get\nin.",
     '{"line": "Get in."}', "Get in. emotion: happy", "米拉走了。玩家：好。", "【叹气】走吧。"],
)  # fmt: skip
def test_what_is_not_spoken_is_found(text: str) -> None:
    assert found(spoken, line(text))


@pytest.mark.parametrize(
    "text", ["Two things: rope and rain.", "2 * 3 is 6.", "Well, [player], get in.", "It is 10:30.", "记住：别回头。"]
)
def test_what_is_spoken_passes(text: str) -> None:
    assert not found(spoken, line(text))


def test_a_figure_must_stand_in_what_the_character_knows() -> None:
    facts = ["the ferry holds 12", "fare is 1,50"]
    assert not found(numbers_known, {"text": "12 at 1,50 each."}, facts=facts, player="?")
    assert not found(numbers_known, {"text": "99, as you say."}, facts=facts, player="99?")
    assert found(numbers_known, {"text": "13."}, facts=facts, player="?")
    secret = {"about": "x", "text": "4471", "when": "open"}
    assert found(numbers_known, {"text": "4471."}, secrets=[secret], player="?")
    assert not found(numbers_known, {"text": "4471."}, secrets=[secret], state={"open": True}, player="?")


def test_barks_have_the_requested_count_and_differ_from_each_other_and_the_last_ones() -> None:
    def barks(*variants: str, **input: Any) -> list[str]:
        return found(bark_variety, {"variants": list(variants)}, situation="noise", **input)

    assert not barks("Who's there?", "Rats again.", "Show yourself!")
    assert barks("Who's there?", "Rats again.") and barks("Rats.", "Rats!", "Who?")
    assert barks("Halt!", count=1, avoid=["HALT."]) and not barks("Halt!", count=1, avoid=["Rats."])


def test_a_character_repeats_neither_itself_word_by_word_nor_nearly_so_but_may_repeat_others() -> None:
    talk = {
        "history": [{"who": "Mira", "text": "The rope won't wait."}, {"who": "Player", "text": "Please."}],
        "player": "?",
    }
    assert found(persona_fresh, {"text": "the rope won't wait!"}, **talk)
    assert not found(persona_fresh, {"text": "Please."}, **talk)


def test_variety_over_many_calls_falls_as_lines_repeat() -> None:
    same, mixed = (
        variety_of(["Halt! Who is there?"] * 10),
        variety_of(["Halt! Who is there?", "Rats, again and again."] * 5),
    )
    all_new = variety_of(["Halt there!", "Rats again.", "Show me your hands.", "又是猫吧。"])
    assert same.distinct == 0.1 and mixed.distinct == 0.2 and all_new == (1.0, 1.0)
    assert same.distinct_2 < mixed.distinct_2 < all_new.distinct_2
    assert variety_of([]) == (1.0, 1.0)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
@settings(deadline=None, max_examples=50)
@given(
    text=st.text(), other=st.text(min_size=1), value=st.one_of(st.text(), st.integers(), st.none(), st.lists(st.text()))
)
def test_a_check_has_an_answer_for_any_words(check: Check, text: str, other: str, value: Any) -> None:
    input = {
        "speaker": other, "persona": text, "state": {other: value},
        "never_say": [other], "max_chars": 9, "era": "medieval",
        "secrets": [{"about": "x", "text": other, "when": other, "at_least": 1}],
        "history": [{"who": other, "text": text}],
        "player": other, "situation": other, "avoid": [other], "facts": [other], "actions": [other],
    }  # fmt: skip
    for finding in check.run(input, {"line": text, "text": text, "variants": [text, other], "action": other}):
        assert finding.message and finding.rule
