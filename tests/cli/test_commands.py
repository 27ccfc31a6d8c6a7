"""Commands that report, list and refuse: their output and their exit codes."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from metier.contracts import errors

Runner = Callable[..., subprocess.CompletedProcess[str]]
SAMPLE = {"input": {"facts": "name[Mug]"}, "output": {"text": "A mug."}}


def test_fit_judges_every_aspect_and_is_no_failure_whatever_it_finds(metier: Runner, tiny_base: Path) -> None:
    done = metier("fit", "adcopy.describe", "--base", tiny_base, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert {"input", "output", "language", "context", "licence", "knowledge"} <= {
        finding["aspect"] for finding in report["findings"]
    }
    assert report["lengths"]["samples"] > 100


def test_a_base_is_listed_and_shown_without_a_network(metier: Runner, tiny_base: Path) -> None:
    listed = json.loads(metier("bases", "list", "--json", METIER_OFFLINE="1").stdout)
    assert "smollm2-135m" in [row["card"]["id"] for row in listed]
    shown = metier("bases", "show", tiny_base)
    assert "LlamaForCausalLM" in shown.stdout
    pulled = json.loads(metier("bases", "pull", tiny_base, "--json").stdout)
    assert Path(pulled["path"]) == tiny_base


def test_doctor_reports_what_this_machine_has(metier: Runner) -> None:
    found = json.loads(metier("doctor", "--json").stdout)
    assert found


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("adapt adcopy.descibe --out r", errors.UsageError.exit_code, "did you mean adcopy.describe?"),
        ("adapt adcopy.describe --out r --data nowhere.csv", errors.DataError.exit_code, "nowhere.csv"),
        ("adapt adcopy.describe --out r --set lora.rnk=8", errors.RecipeError.exit_code, "did you mean lora.rank?"),
        ("adapt adcopy.describe --out r --base nobody", errors.BaseError.exit_code, "nobody"),
        ("evaluate r", errors.UsageError.exit_code, "card.json"),
        ("export r --out b", errors.UsageError.exit_code, "card.json"),
        ("run b --input-text x", errors.BundleError.exit_code, "bundle.json"),
        ("adapt adcopy.describe --out r --samples 0", 2, "samples"),
        ("export r --out b --precision int3", 2, "int3"),
    ],
)
def test_an_error_has_its_own_exit_code_and_message(line: str, code: int, message: str, metier: Runner) -> None:
    done = metier(*line.split(), METIER_OFFLINE="1")
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bad_row_stops_the_command_by_file_and_line_or_is_reported_and_skipped(
    metier: Runner, tmp_path: Path, tiny_base: Path
) -> None:
    good = [{**SAMPLE, "input": {"facts": f"name[{word}], colour[{word}]"}} for word in ("Oak", "Quill", "Zephyr")]
    rows = [json.dumps(row) for row in good] + ['{"input": {"facts": 3}, "output": {"text": "x"}}']
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    options = (
        "adapt",
        "adcopy.describe",
        "--data",
        "rows.jsonl",
        "--held-out",
        "1",
        "--out",
        "run",
        "--base",
        tiny_base,
    )
    stopped = metier(*options)
    assert stopped.returncode == errors.DataError.exit_code
    assert "rows.jsonl:4" in stopped.stderr
    skipped = metier(*options, "--on-bad", "skip", "--set", "epochs=1", "--set", "max_length=1024", "--json")
    assert skipped.returncode == 0, skipped.stderr
    assert "rows.jsonl:4" in skipped.stderr
    assert json.loads(skipped.stdout)["card"]["data"]["samples"] == 2


def test_a_data_report_describes_a_file_and_lists_the_rows_that_do_not_fit(metier: Runner, tmp_path: Path) -> None:
    (tmp_path / "shop.csv").write_text("facts,text\nname[Mug],A mug.\n,Nothing.\n")
    done = metier("data", "report", "shop.csv", "--task", "adcopy.describe", "--out", "report.json")
    assert done.returncode == 0, done.stderr
    assert "input.facts" in done.stdout
    assert "shop.csv:3" in done.stderr
    assert json.loads((tmp_path / "report.json").read_text())["bad_rows"] == 1
    assert json.loads(metier("data", "report", "shop.csv", "--json").stdout)["rows"] == 2
