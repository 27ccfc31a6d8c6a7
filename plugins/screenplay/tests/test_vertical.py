"""The vertical: it conforms, its prompts are short, and it lists the fine-tunes that are there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import metier_screenplay
from metier.contracts import PluginError, fine_tunes_in
from metier.prompting.prompt import messages
from metier.prompting.reply import grammar_of
from metier.testing import conformance_test
from metier_screenplay.tasks import branch, dialogue, heading_of, scene
from metier_screenplay.vertical import vertical

test_conformance = conformance_test(vertical())


def test_the_hook_returns_one_vertical_with_three_tasks() -> None:
    (found,) = metier_screenplay.metier_verticals()
    assert [t.name for t in found.tasks] == ["screenplay.scene", "screenplay.dialogue", "screenplay.branch"]


@pytest.mark.parametrize(
    ("paragraph", "taken"),
    [
        ("DR. MEI LIN\nSit down.", True),
        ("MEI (O.S.)\n(beat)\nSit down.", True),
        ("@王五\n坐。", True),
        ("She waits.\nThe clock ticks.", True),
        ("CUT TO:", True),
        ("MEIR\nSit down.", False),
        ("A GUARD (shouting)\nStop!", False),
        ("@李四\n坐。", False),
    ],
)
def test_only_the_cast_can_speak_in_a_reply(paragraph: str, taken: bool) -> None:
    from llguidance import LLMatcher, LLTokenizer

    cast = [{"name": "Dr. Mei Lin"}, {"name": "王五"}]
    matcher = LLMatcher(LLTokenizer("byte"), grammar_of(scene, {"place": "ward", "characters": cast}))
    text = f"INT. WARD - DAY\n\n{paragraph}".encode()
    assert (matcher.try_consume_tokens(list(text)) == len(text) and matcher.is_accepting()) is taken


def test_the_prompt_of_a_scene_has_its_heading_cast_and_beats() -> None:
    brief = {
        "logline": "A thief is found.",
        "beats": ["She waits."],
        "characters": [{"name": "Mara", "about": "baker"}, {"name": "Tom"}],
        "setting": "INT/EXT",
        "place": "bakery",
        "time": "night",
        "max_pages": 0.5,
        "camera": True,
    }
    system, user = messages(scene, brief)
    assert user["content"] == (
        "INT./EXT. BAKERY - NIGHT\nA thief is found.\nMARA: baker\nTOM\n- She waits.\nAt most 0.5 pages\n"
        "Camera directions allowed"
    )
    assert len(system["content"].split()) <= 6
    assert heading_of(brief) == "INT./EXT. BAKERY - NIGHT"


def test_the_smallest_brief_is_a_place() -> None:
    assert messages(scene, {"place": "attic"})[-1]["content"] == "INT. ATTIC"
    assert "最多1页" in messages(scene, {"place": "厨房", "max_pages": 1, "language": "zh"})[-1]["content"]


def test_a_note_is_below_the_lines_it_is_about() -> None:
    note = {"character": "Mara", "about": "baker", "lines": ["Out.", "Now."], "note": "softer", "max_words": 4}
    assert messages(dialogue, note)[-1]["content"] == (
        "Mara: baker\n> Out.\n> Now.\nNote: softer\nAt most 4 words a line"
    )


def test_the_choice_taken_is_marked_among_the_choices() -> None:
    crossing = {
        "scene": "A knock.",
        "choices": [{"text": "Open", "to": "open"}, {"text": "Wait", "to": "wait"}],
        "chosen": "Wait",
        "nodes": ["start"],
        "end": True,
    }
    assert messages(branch, crossing)[-1]["content"] == (
        "A knock.\n- Open -> open\n> Wait -> wait\nNodes: start\nEnd the story"
    )


def test_the_packaged_recipes_keep_to_rank_eight_and_one_is_for_all_tasks() -> None:
    assert {r.lora.rank for r in vertical().recipes.values()} == {8}
    assert set(vertical().recipes) == {"screenplay", *(t.name for t in vertical().tasks)}


def test_a_fine_tune_with_a_broken_card_is_named(tmp_path: Path) -> None:
    (tmp_path / "scene").mkdir()
    (tmp_path / "scene" / "card.json").write_text(json.dumps({"name": "scene"}))
    with pytest.raises(PluginError) as caught:
        fine_tunes_in(tmp_path)
    assert str(caught.value.where).endswith("scene/card.json") and caught.value.remedy
