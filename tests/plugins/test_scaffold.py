"""`metier new`: a generated plugin passes the checks of this repository; errors name what is refused."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from metier.contracts import UsageError
from metier.plugins.scaffold import LONGEST, STAND_IN, TEMPLATE, new_plugin

LONG = "a" * LONGEST
RULES = ["--isolated", "--line-length=120", "--target-version=py311"]
"""What a stranger's project has: none of this repository's settings."""


def run(folder: Path, *command: str) -> str:
    """What a Python tool says in a plugin's folder; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_plugin("press", tmp_path_factory.mktemp("new") / "press").folder


def test_a_new_plugin_passes_its_own_tests_conformance_included(plugin: Path) -> None:
    printed = run(plugin, "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", ".")
    assert " passed" in printed
    assert "skipped" not in printed and "failed" not in printed


@pytest.mark.parametrize("name", ["ab", "press", "night_press_2", LONG])
def test_new_code_is_clean_whatever_the_trade_is_called(name: str, tmp_path: Path) -> None:
    created = new_plugin(name, tmp_path / name)
    folder = created.folder
    run(folder, "ruff", "check", *RULES, "--select=E,F,W,I,UP,B,C4,SIM,N", ".")
    run(folder, "ruff", "format", *RULES[:2], "--check", ".")
    assert [path for path in created.files if STAND_IN in path + (folder / path).read_text("utf-8")] == []


def test_new_code_is_strictly_typed(plugin: Path) -> None:
    run(plugin, "mypy", "--strict", "--follow-imports=silent", f"--cache-dir={plugin.parent / 'types'}", ".")


def test_the_files_are_the_template_s_with_the_name_put_in(plugin: Path) -> None:
    created = new_plugin("night_press", plugin.parent / "elsewhere" / "np")
    assert (created.folder, created.task) == (plugin.parent / "elsewhere" / "np", "night_press.title")
    assert set(created.files) >= {"pyproject.toml", "metier_night_press/task.py", "tests/test_night_press.py"}
    assert sorted(p.relative_to(created.folder).as_posix() for p in created.folder.rglob("*") if p.is_file()) == list(
        created.files
    )
    project = (created.folder / "pyproject.toml").read_text("utf-8")
    assert 'name = "metier-night-press"' in project and 'night_press = "metier_night_press"' in project
    assert (TEMPLATE / f"metier_{STAND_IN}" / "task.py").is_file()


@pytest.mark.parametrize(
    ("name", "remedy_end"),
    [
        ("My-Trade", "my_trade"),
        ("9lives", "lives"),
        ("a__b", "a_b"),
        ("press_", "press"),
        ("", "such as press"),
        ("新闻", "such as press"),
        (LONG + "a", LONG),
    ],
)
def test_an_invalid_name_is_an_error_that_suggests_a_valid_one(name: str, remedy_end: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        new_plugin(name, tmp_path / "out")
    assert caught.value.remedy and caught.value.remedy.endswith(remedy_end)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="adcopy is installed already"):
        new_plugin("adcopy", tmp_path / "adcopy")


def test_nothing_is_overwritten_and_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert (new_plugin("press", tmp_path / "empty").folder / "pyproject.toml").is_file()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    for taken in (tmp_path / "mine", tmp_path / "mine" / "notes.txt"):
        with pytest.raises(UsageError, match="nothing is overwritten"):
            new_plugin("press", taken)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "mine"]
