"""`metier new`: creates a plugin and prints commands that can be copied."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

Runner = Callable[..., subprocess.CompletedProcess[str]]


def test_the_output_has_the_next_commands(metier: Runner, tmp_path: Path) -> None:
    done = metier("new", "press", "--out", "my trades/press")
    assert done.returncode == 0, done.stderr
    assert "pip install -e 'my trades/press' pytest" in done.stdout
    assert "metier adapt press.title --out runs/press" in done.stdout
    assert (tmp_path / "my trades/press/metier_press/task.py").is_file()


def test_the_result_can_be_had_as_json_and_a_second_call_changes_nothing(metier: Runner, tmp_path: Path) -> None:
    created = json.loads(metier("new", "press", "--json").stdout)
    assert created["task"] == "press.title" and "pyproject.toml" in created["files"]
    before = (tmp_path / "press" / "pyproject.toml").stat().st_mtime_ns
    again = metier("new", "press")
    assert again.returncode == 2 and "nothing is overwritten" in again.stderr
    assert (tmp_path / "press" / "pyproject.toml").stat().st_mtime_ns == before
