"""Options of `metier adapt` and `metier evaluate` that change what is trained on, and what answers."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

SMALL = ("--set", "epochs=1", "--set", "lora.rank=4", "--set", "max_length=512", "--set", "evaluations=1")


def metier(*line: object) -> str:
    from metier.cli.app import app

    done = CliRunner().invoke(app, [str(part) for part in line])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def run(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scrubbed")
    rows = [
        {"facts": f"name[Mug {n}], colour[blue]", "text": f"Mug {n} is blue. Call 138 1234 567{n} or jo@shop.example."}
        for n in range(8)
    ]
    data = folder / "rows.jsonl"
    data.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    line = ("adapt", "adcopy.describe", "--data", data, "--held-out", 2, "--base", tiny_base, *SMALL, "--scrub")
    printed = metier(*line, "--out", folder / "run")
    assert "16 pieces of personal data" in printed
    return folder / "run"


def test_scrub_trains_on_kinds_in_place_of_personal_data(run: Path) -> None:
    kept = (run / "train.jsonl").read_text("utf-8") + (run / "held_out.jsonl").read_text("utf-8")
    assert kept.count("[phone]") == 8 and kept.count("[email]") == 8
    assert "138" not in kept and "shop.example" not in kept


def test_runtime_onnx_measures_base_and_fine_tune_by_the_bundle(run: Path, tmp_path: Path) -> None:
    metier("export", run, "--slots", "--precision", "fp32", "--out", tmp_path / "bundle")
    options = ("--bundle", tmp_path / "bundle", "--runtime", "onnx", "--few-shot", 0, "--json")
    found = json.loads(metier("evaluate", run, *options).partition("{")[2].join(["{", ""]))
    assert [system["name"] for system in found["systems"]] == ["base_zero_shot", "fine_tune"]
    assert all("ONNX Runtime" in s["detail"] or "prompt" in s["detail"] for s in found["systems"])
    assert found["forgetting"] is None and found["precision"] == "fp32"


def test_runtime_onnx_without_a_bundle_says_what_it_needs(run: Path) -> None:
    from metier.cli.app import app

    done = CliRunner().invoke(app, ["evaluate", str(run), "--runtime", "onnx"])
    assert done.exit_code != 0
    assert "bundle with LoRA slots" in str(done.exception) + done.output
