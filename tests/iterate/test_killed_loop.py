"""The loop's quick commands, killed a few times each; the benchmark of the same name kills them all twenty times."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks/killed_loop.py"


def test_a_killed_command_leaves_a_valid_state_and_resumes() -> None:
    line = [sys.executable, str(SCRIPT), "--kills", "3", "--commands", "collect", "import", "move", "--json"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [row["killed"] for row in json.loads(done.stdout)["commands"]] == [3, 3, 3]
