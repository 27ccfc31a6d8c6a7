"""The vertical: it conforms, its prompts are short, and a locked secret never reaches a model."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import metier_npc
from metier.contracts import ContractError, PluginError, Value, fine_tunes_in
from metier.prompting.prompt import messages
from metier.testing import conformance_test
from metier_npc.tasks import TASKS, line, opened, persona
from metier_npc.vertical import vertical

test_conformance = conformance_test(vertical())

SECRET: Value = {"about": "the wreck", "text": "Mira cut the rope", "when": "trust", "at_least": 3}


def prompt_text(input: Value) -> str:
    return "\n".join(m["content"] for m in messages(line, input))


def test_the_hooks_hand_over_one_vertical_and_one_command() -> None:
    assert [v.name for v in metier_npc.metier_verticals()] == ["npc"]
    assert [c.name for c in metier_npc.metier_commands()] == ["npc-script"]


def test_the_smallest_scene_is_a_name_and_one_instruction() -> None:
    system, user = messages(line, {"speaker": "Mira"})
    assert user["content"] == "Mira\nActions: none" and len(system["content"].split()) <= 8


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(
    ("trust", "open"), [(None, False), (0, False), (2, False), (3, True), ("4", True), ("x", False)]
)
def test_a_secret_is_in_the_prompt_only_once_its_condition_holds(language: str, trust: object, open: bool) -> None:
    scene: Value = {"speaker": "Mira", "secrets": [SECRET], "language": language}
    if trust is not None:
        scene["state"] = {"trust": trust}  # type: ignore[dict-item]
    assert ("Mira cut the rope" in prompt_text(scene)) is open
    assert ("the wreck" in prompt_text(scene)) is not open


@given(
    value=st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats(-9, 9), st.text(max_size=4), st.just([])),
    least=st.one_of(st.none(), st.floats(-9, 9)),
    there=st.booleans(),
)
def test_prompt_and_check_agree_on_when_a_secret_opens(value: object, least: float | None, there: bool) -> None:
    secret: Value = {**SECRET, "at_least": least}
    state: Value = {"trust": value} if there else {}  # type: ignore[dict-item]
    scene: Value = {"speaker": "Mira", "secrets": [secret], "state": state}
    assert ("Mira cut the rope" in prompt_text(scene)) is opened(secret, state)


def test_a_conversation_is_rendered_as_turns_of_two_roles() -> None:
    talk: Value = {
        "speaker": "Mira",
        "facts": ["the ferry holds 12"],
        "history": [{"who": "Player", "text": "Hello."}, {"who": "Mira", "text": "You're late."}],
        "player": "How many fit?",
    }
    turns = [(m["role"], m["content"]) for m in messages(persona, talk)]
    assert turns[0][1] == "Stay in character.\nMira\nKnows: the ferry holds 12"
    assert turns[1:] == [("user", "Hello."), ("assistant", "You're late."), ("user", "How many fit?")]


def test_the_action_field_names_the_input_list_that_narrows_it() -> None:
    assert line.output["properties"]["action"]["x-metier-one-of"] == "actions"
    assert line.input["properties"]["actions"]["default"] == ["none"]


def test_an_emotion_outside_the_rig_and_a_third_memory_are_refused() -> None:
    good: Value = {"line": "Get in.", "emotion": "neutral", "action": "none", "remember": []}
    line.check_output(good)
    for bad in ({"emotion": "smug"}, {"remember": ["a", "b", "c"]}, {"line": ""}):
        with pytest.raises(ContractError):
            line.check_output({**good, **bad})  # type: ignore[dict-item]


def test_the_packaged_recipes_keep_to_rank_eight_and_one_is_for_all_tasks() -> None:
    assert all(recipe.lora.rank <= 8 for recipe in vertical().recipes.values())
    assert set(vertical().recipes) == {"npc", *(t.name for t in TASKS)}


def test_a_fine_tune_with_a_broken_card_is_named(tmp_path: Path) -> None:
    (tmp_path / "line").mkdir()
    (tmp_path / "line" / "card.json").write_text("{}")
    with pytest.raises(PluginError) as caught:
        fine_tunes_in(tmp_path)
    assert str(caught.value.where).endswith("line/card.json") and caught.value.remedy
