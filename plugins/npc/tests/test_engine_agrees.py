"""Random Ink stories: every line and choice that inkle's own engine shows is read, and no line that it never shows."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from metier.contracts import Sample
from metier_npc.reading import INK

sys.path.insert(0, str(Path(__file__).parent))
from ink_stories import NEVER, Story

SEEDS = range(12)
PACKAGES = os.environ.get("METIER_NODE_MODULES", "")


@pytest.fixture(scope="module")
def shown() -> list[dict[str, Any]]:
    """What the engine shows of each story: lines with tags, and choices."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed")
    wanted = json.dumps({"format": "ink", "scripts": [Story(seed).text() for seed in SEEDS]})
    run = subprocess.run(
        [node, str(Path(__file__).parent / "engine.cjs")], input=wanted, capture_output=True, text=True, timeout=300,
        check=False,
        env=os.environ | ({"NODE_PATH": PACKAGES} if PACKAGES else {}),
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    answers: list[dict[str, Any]] = json.loads(run.stdout)
    if "missing" in answers[0]:
        pytest.skip(f"{answers[0]['missing']}: npm install inkjs, and set METIER_NODE_MODULES to its node_modules")
    return answers


def words(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"\{coins\}", "7", text)).strip()


@pytest.mark.slow
def test_lines_and_choices_are_those_that_the_engine_shows(shown: list[dict[str, Any]], tmp_path: Path) -> None:
    for seed, answer in zip(SEEDS, shown, strict=True):
        assert "error" not in answer, (seed, answer)
        path = tmp_path / f"{seed}.ink"
        path.write_text(Story(seed).text(), encoding="utf-8")
        rows = [row for row in INK.read(path) if isinstance(row, Sample)]
        read = {
            words(("" if row.input["speaker"] == "Narrator" else f"{row.input['speaker']}: ") + row.output["line"])
            for row in rows
        }
        engine = {words(text.replace("老周：", "老周: ")) for text, _ in answer["lines"] if NEVER not in text}
        choices = {words(choice) for row in rows for choice in row.input.get("choices", [])}
        assert engine - read == set(), (seed, engine - read)
        assert choices <= {words(choice) for choice in answer["choices"]} | engine, seed
