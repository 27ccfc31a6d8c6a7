"""`metier compare`, and a head adapted, exported, run and evaluated, from the command line on packaged samples."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

Runner = Callable[..., subprocess.CompletedProcess[str]]


def test_presets_are_compared_and_a_head_is_adapted_exported_run_and_evaluated(
    tiny_base: Path, metier: Runner, tmp_path: Path
) -> None:
    common = ("support.intent", "--base", tiny_base, "--samples", 24, "--set", "head.epochs=3")
    done = metier(
        "compare", *common, "--presets", "head/features/1-2,3,head/features/mix", "--out", "presets", "--json"
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [preset["preset"] for preset in result["presets"]] == ["head/features/1-2,3", "head/features/mix"]
    assert {metric["name"] for metric in result["metrics"]} >= {"accuracy", "macro_f1"}

    head = ("--set", "produces=head", "--set", "method=features")
    adapted = metier("adapt", *common, *head, "--out", "tuned")
    assert adapted.returncode == 0, adapted.stderr
    assert (tmp_path / "tuned" / "head.safetensors").is_file()
    exported = metier("export", "tuned", "--out", "bundle")
    assert exported.returncode == 0, exported.stderr
    answered = metier("run", "bundle", "--input-text", "Where is my parcel?", "--json")
    assert answered.returncode == 0, answered.stderr
    assert json.loads(answered.stdout)["intent"]
    result = metier("evaluate", "tuned", "--bundle", "bundle", "--few-shot", 0)
    assert result.returncode == 0, result.stderr
    assert "Fine-tune (head)" in result.stdout and "the base is frozen" in result.stderr
    assert {"before", "after", "bundle"} <= set(
        json.loads((tmp_path / "tuned/card.json").read_text())["metrics"]["support.intent"]
    )
    assert "Fine-tune (head)" in (tmp_path / "tuned/report.html").read_text()


def test_an_unknown_preset_is_an_error_before_anything_is_trained(tiny_base: Path, metier: Runner) -> None:
    done = metier("compare", "support.intent", "--base", tiny_base, "--presets", "head/magic", "--out", "presets")
    assert done.returncode == 7 and "there is no preset head/magic" in done.stderr
