"""Every example runs as its own first lines say; embed_genai.py is run in runtime/test_embedding.py."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(*arguments: object, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=folder, env=os.environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def program(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Where `adapt_adcopy.py` wrote to, and what it printed."""
    folder = tmp_path_factory.mktemp("program")
    small = ("epochs=0.2", "max_length=1024", "evaluations=1", f"base={tiny_base}")
    return folder, run(EXAMPLES / "adapt_adcopy.py", "out", "--precision=fp32", "--inputs=4", *small, folder=folder)


@pytest.mark.xdist_group("examples")
def test_the_program_adapts_measures_and_ships(program: tuple[Path, str]) -> None:
    folder, printed = program
    assert "BLEU: " in printed
    assert (folder / "out/report.html").is_file()
    assert (folder / "out/bundle/bundle.json").is_file()


@pytest.mark.xdist_group("examples")
def test_ten_lines_embed_a_bundle(program: tuple[Path, str]) -> None:
    folder, _ = program
    assert run(EXAMPLES / "embed_python.py", "out/bundle", "name[Mug]", folder=folder).strip()


@pytest.mark.xdist_group("examples")
def test_a_simulated_week_goes_day_by_day_to_its_rollback(tiny_base: Path, tmp_path: Path) -> None:
    free = {"max_forgetting": 50, "max_metric_drop": 100, "max_check_drop": 100, "max_slowdown": 1e6}
    settings = json.dumps({"min_samples": 4, "learning_rate": 0.01, "epochs": 3, "gate": free})
    small = ("--per-day=8", "--inputs=6", "--precision=fp32", "--sizes=4,8,12", f"--settings={settings}")
    recipe = (f"base={tiny_base}", "epochs=1", "evaluations=1", "precision=fp32")
    printed = run(EXAMPLES / "iterate_week.py", "week", *small, *recipe, folder=tmp_path)
    assert "THE USERS ARE SIMULATED." in printed and "day 7: " in printed and "rolled back" in printed
    days = [json.loads(line) for line in (tmp_path / "week/days.jsonl").read_text().splitlines()]
    assert [day["day"] for day in days if "plan" in day] == [2, 4] and printed.count("plan: 0.03 nats less take") == 2
    assert days[1]["plan"]["arrival"]["days"] == 1 and days[1]["plan"]["samples_now"] > 40
    ask = ("plan", tmp_path / "week", tmp_path / "plan.json", "--sizes", "4,8,12", "--seeds", "1")
    run(EXAMPLES.parent / "sdk/docs/iteration.py", *ask, folder=tmp_path)
    kept = json.loads((tmp_path / "plan.json").read_text())
    assert kept["plan"]["arrival"]["days"] == 7 and kept["output"].startswith("now: ")
    assert kept["command"].endswith("--now 2026-01-11 --sizes 4,8,12 --seeds 1")
    assert [day["day"] for day in days] == [1, 2, 3, 4, 5, 6, 7] and (tmp_path / "week/week.svg").is_file()


def test_every_example_program_is_run_here() -> None:
    source = Path(__file__).read_text("utf-8")
    assert [path.name for path in EXAMPLES.glob("*.py") if path.name not in source] == []
