"""One LoRA adapter for several tasks of a trade: trained, measured and exported by the same three commands."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

Runner = Callable[..., subprocess.CompletedProcess[str]]
TASKS = ("support.intent", "support.entities")


@pytest.fixture(scope="module")
def run(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from metier.cli.app import app

    out = tmp_path_factory.mktemp("several") / "run"
    small = ("--samples", "8", "--set", "epochs=1", "--set", "lora.rank=4", "--set", "max_length=512")
    done = CliRunner().invoke(app, ["adapt", *TASKS, "--out", str(out), "--base", str(tiny_base), *small])
    assert done.exit_code == 0, done.output
    return out


def test_one_adapter_learns_the_packaged_samples_of_each_task_named(run: Path) -> None:
    card = json.loads((run / "card.json").read_text())
    assert tuple(task["name"] for task in card["tasks"]) == TASKS
    trained_on = [json.loads(line)["task"] for line in (run / "train.jsonl").read_text().splitlines()]
    assert trained_on == ["support.intent"] * 8 + ["support.entities"] * 8
    assert card["training"]["steps"] == 2


def test_each_task_is_measured_by_itself_and_one_bundle_answers_all(run: Path, tmp_path: Path) -> None:
    from metier.cli.app import app

    for task in TASKS:
        done = CliRunner().invoke(app, ["evaluate", str(run), "--task", task, "--few-shot", "0"])
        assert done.exit_code == 0, done.output
        assert (run / f"report-{task.partition('.')[2]}.html").is_file()
    metrics = json.loads((run / "card.json").read_text())["metrics"]
    assert set(metrics) == set(TASKS)
    assert metrics["support.intent"]["inputs"] == 24 and "accuracy" in metrics["support.intent"]["after"]
    done = CliRunner().invoke(app, ["export", str(run), "--out", str(tmp_path / "bundle"), "--precision", "fp32"])
    assert done.exit_code == 0, done.output
    manifest = json.loads((tmp_path / "bundle/bundle.json").read_text())
    assert tuple(task["name"] for task in manifest["tasks"]) == TASKS
    assert [golden["task"] for golden in manifest["golden"]] == [*TASKS] * 4


def test_without_a_task_named_all_are_measured(run: Path, tmp_path: Path) -> None:
    from metier.cli.app import app

    line = ["evaluate", str(run), "--few-shot", "0", "--limit", "2", "--html", str(tmp_path / "r.html"), "--json"]
    done = CliRunner().invoke(app, line)
    assert done.exit_code == 0, done.output
    assert [found["task"] for found in json.loads(done.stdout)] == [*TASKS]
    assert (tmp_path / "r-intent.html").is_file() and (tmp_path / "r-entities.json").is_file()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("adapt support --data rows.csv --out r", "leave out --data and --held-out"),
        ("adapt npc.line support.intent --out r", "the tasks are of two trades, npc and support"),
        ("adapt supprt --out r", "did you mean support"),
    ],
)
def test_tasks_that_cannot_be_trained_together_are_refused(line: str, message: str, metier: Runner) -> None:
    done = metier(*line.split(), METIER_OFFLINE="1")
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_a_task_that_the_run_lacks_is_named_in_the_error(run: Path) -> None:
    from metier.cli.app import app

    done = CliRunner().invoke(app, ["evaluate", str(run), "--task", "support.intnt"])
    assert done.exit_code == 2
    assert "did you mean support.intent?" in done.output
