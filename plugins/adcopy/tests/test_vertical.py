"""The vertical: it conforms, its prompts are short, and it lists the fine-tunes that are there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import metier_adcopy
from metier.contracts import PluginError, fine_tunes_in
from metier.prompting.prompt import messages
from metier.testing import conformance_test
from metier_adcopy.tasks import describe
from metier_adcopy.vertical import vertical

test_conformance = conformance_test(vertical())


def test_the_hook_returns_one_vertical() -> None:
    assert [v.name for v in metier_adcopy.metier_verticals()] == ["adcopy"]


def test_the_smallest_brief_is_its_facts_and_one_instruction() -> None:
    system, user = messages(describe, {"facts": "name[Alimentum], familyFriendly[no]"})
    assert user == {"role": "user", "content": "name[Alimentum], familyFriendly[no]"}
    assert system["role"] == "system" and len(system["content"].split()) <= 12


def test_a_full_brief_is_rendered_line_by_line_in_the_language_of_the_copy() -> None:
    brief = {"facts": "name[Mug]", "audience": "tea people", "tone": "dry", "max_chars": 90, "language": "en"}
    assert (
        messages(describe, brief)[-1]["content"] == "name[Mug]\nAudience: tea people\nTone: dry\nAt most 90 characters"
    )
    assert "语气：干" in messages(describe, {"facts": "名称[杯]", "tone": "干", "language": "zh"})[-1]["content"]


def test_the_packaged_recipe_keeps_to_rank_eight() -> None:
    assert vertical().recipes[describe.name].lora.rank <= 8


def test_a_fine_tune_with_a_broken_card_is_named(tmp_path: Path) -> None:
    (tmp_path / "describe").mkdir()
    (tmp_path / "describe" / "card.json").write_text(json.dumps({"name": "describe"}))
    with pytest.raises(PluginError) as caught:
        fine_tunes_in(tmp_path)
    assert str(caught.value.where).endswith("describe/card.json") and caught.value.remedy


def test_a_folder_without_fine_tunes_gives_none(tmp_path: Path) -> None:
    assert fine_tunes_in(tmp_path) == ()
