"""All steps on the real default base, with few steps and few inputs: `make quickstart` in small."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Runner = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.slow
@pytest.mark.xdist_group("default_base")
def test_the_quickstart_gives_copy_metrics_and_a_report_and_resumes_where_it_stopped(
    metier: Runner, tmp_path: Path
) -> None:
    from metier.bases import SMALLEST_BASE, resolve
    from metier.contracts import BaseError

    try:
        base = resolve(SMALLEST_BASE)
    except BaseError as error:
        pytest.skip(f"the smallest base cannot be had: {error.what}")
    # Two steps on all layers take less time than the cache of frozen ones for every sample.
    few = ("--set", "epochs=0.1", "--set", "evaluations=1", "--set", "layers=all", "--limit", "2")
    small = ("--base", base.path, *few, "--precision", "fp32", "--json")
    done = metier("quickstart", *small)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [set(pair["output"]) for pair in report["copy"]] == [{"text"}] * 4
    assert [pair["input"]["language"] for pair in report["copy"]] == ["en", "en", "zh", "zh"]
    assert report["metrics"]["inputs"] == 2
    manifest = json.loads((tmp_path / "quickstart/bundle/bundle.json").read_text())
    assert manifest["precision"] == "fp32"
    assert [entry["name"] for entry in manifest["adapters"]]
    card = json.loads((tmp_path / "quickstart/run/card.json").read_text())
    assert card["metrics"]["adcopy.describe"]["inputs"] == 2
    assert (tmp_path / "quickstart/report.html").is_file()
    again = json.loads(metier("quickstart", *small).stdout)
    assert again["copy"] == report["copy"]
    assert again["seconds"]["adapt"] + again["seconds"]["evaluate"] + again["seconds"]["export"] < 10


def test_a_trade_that_is_not_installed_is_named(metier: Runner) -> None:
    done = metier("quickstart", "adcopi")
    assert done.returncode == 2
    assert "did you mean adcopy?" in done.stderr
