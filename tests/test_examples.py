"""Every example runs as its own first lines say; embed_genai.py is run in runtime/test_embedding.py."""

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


def test_every_example_program_is_run_here() -> None:
    told = Path(__file__).read_text("utf-8")
    assert [path.name for path in EXAMPLES.glob("*.py") if path.name not in told] == []
