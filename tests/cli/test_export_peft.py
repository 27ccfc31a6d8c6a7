"""`metier export` of a folder that PEFT saved without Metier."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Runner = Callable[..., object]


@pytest.fixture
def peft_folder(tiny_base: Path, tmp_path: Path) -> Path:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    config = LoraConfig(r=4, lora_alpha=8, init_lora_weights=False, use_dora=True, target_modules="all-linear")
    get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_base), config).save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def test_a_peft_folder_is_exported_with_its_base_and_task(metier: Runner, peft_folder: Path, tiny_base: Path) -> None:
    options = ("--out", "bundle", "--precision", "fp32", "--json")
    done = metier("export", peft_folder, "--base", tiny_base, "--task", "support.intent", *options)
    assert done.returncode == 0, done.stderr
    manifest = json.loads(done.stdout)
    assert [task["name"] for task in manifest["tasks"]] == ["support.intent"]
    assert manifest["parity"]["top1_agreement"] >= 0.995


def test_the_error_for_a_peft_folder_without_base_and_task_shows_how_to_name_them(
    metier: Runner, peft_folder: Path
) -> None:
    done = metier("export", peft_folder, "--out", "bundle", METIER_BASE="")
    assert done.returncode == 2
    assert "there is no card.json that names its base and task" in done.stderr
    assert "--base BASE --task TASK" in done.stderr
