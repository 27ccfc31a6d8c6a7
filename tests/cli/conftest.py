"""The command line as a user has it: a process of its own, with a cache folder of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Runner = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def metier(tmp_path: Path) -> Runner:
    """Run `metier ARGS…` in `tmp_path`; keyword arguments are environment variables, `input` is stdin."""

    def run(*args: object, input: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "metier.cli", *map(str, args)],
            cwd=tmp_path,
            env={**os.environ, "METIER_HOME": str(tmp_path / "home"), "NO_COLOR": "1", **environment},
            input=input if input is not None else "",
            capture_output=True,
            text=True,
            timeout=580,
            check=False,
        )

    return run
