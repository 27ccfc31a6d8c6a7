"""Kill every alignment command at random moments, and see that it goes on, or that what was there before still is.

    python tests/benchmarks/killed.py [--kills 20] [--commands dpo kto reward ppo grpo] [--seed 0] [--json]

Each command runs on a tiny random base in a process of its own, which gets SIGKILL at a moment drawn evenly over an
unbroken run's time. After every kill the result's folder must either have no card, or one that loads whole; the next
start must go on without a complaint, and not fall behind the last checkpoint; the fine-tune it began from must be as it
was. A run that ended before its kill counts as none, and the next begins in a new folder.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

FAST = ["--set", "precision=fp32", "--set", "checkpoint_seconds=0.1"]
COMMANDS: dict[str, list[str]] = {
    "dpo": ["prefer", "RUN", "--data", "PAIRS", "--out", "OUT", "--set", "epochs=8", *FAST],
    "kto": ["prefer", "RUN", "--data", "PAIRS", "--out", "OUT", "--method", "kto", "--set", "epochs=8", *FAST],
    "reward": ["reward", "RUN", "--data", "PAIRS", "--out", "OUT", "--set", "epochs=8", *FAST],
    "ppo": ["reinforce", "RUN", "--out", "OUT", "--samples", "16", "--set", "updates=20", "--set", "rollouts=16",
            "--set", "max_tokens=8", *FAST],
    "grpo": ["reinforce", "RUN", "--out", "OUT", "--method", "grpo", "--samples", "16", "--set", "updates=20",
             "--set", "rollouts=16", "--set", "max_tokens=8", *FAST],
}  # fmt: skip


def main() -> None:
    """Kill, look, go on; print what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--commands", nargs="+", default=list(COMMANDS), choices=list(COMMANDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        desk = Desk(Path(scratch))
        found = [desk.torment(name, asked.kills, random.Random(f"{asked.seed}{name}")) for name in asked.commands]
    if asked.json:
        return print(json.dumps({"benchmark": "killed", "commands": found}, indent=1))
    for row in found:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    return None


class Desk:
    """A tiny fine-tune of adcopy.describe, some pairs, and a cache folder of its own."""

    def __init__(self, folder: Path) -> None:
        from conftest import make_tiny_base

        self.folder = folder
        base = make_tiny_base(folder / "base")
        self.env = {**os.environ, "METIER_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
        self.run = folder / "begun"
        few = ["--samples", "16", "--set", "epochs=1", "--set", "precision=fp32", "--base", str(base)]
        self._finish(["adapt", "adcopy.describe", "--out", str(self.run), *few])
        self.pairs = folder / "pairs.jsonl"
        samples = [json.loads(line) for line in (self.run / "train.jsonl").read_text("utf-8").splitlines()]
        self.pairs.write_text(
            "".join(
                json.dumps({"task": s["task"], "input": s["input"], "chosen": s["output"],
                            "rejected": {"text": "Best ever. " + s["output"]["text"]}}) + "\n"
                for s in samples
            ), "utf-8",
        )  # fmt: skip

    def torment(self, name: str, kills: int, chance: random.Random) -> dict[str, Any]:
        """Kill one command so many times; what was seen."""
        before = {p.name: p.read_bytes() for p in self.run.iterdir()}
        started = time.monotonic()
        self._finish(self._command(name, self.folder / f"{name}-whole"))
        whole = time.monotonic() - started
        seen = {"command": name, "seconds": round(whole, 1), "killed": 0, "resumed": 0, "ended": 0}
        number, checkpoints = 0, False
        while seen["killed"] < kills:
            out = self.folder / f"{name}-{number}"
            process = subprocess.Popen(
                self._command(name, out), env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            try:
                said = process.communicate(timeout=chance.uniform(0, whole))[1]
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.communicate()
                seen["killed"] += 1
                seen["resumed"] += checkpoints
                checkpoints = self._look(name, out)
                continue
            assert process.returncode == 0, said.decode()
            seen["ended"] += 1
            self._whole(name, out)
            number, checkpoints = number + 1, False
            shutil.rmtree(out)
        out = self.folder / f"{name}-{number}"
        self._finish(self._command(name, out))
        self._whole(name, out)
        assert {p.name: p.read_bytes() for p in self.run.iterdir()} == before, "the fine-tune it began from has changed"
        return seen

    def _look(self, name: str, out: Path) -> bool:
        """A card that is there loads; returns whether a checkpoint is there to go on from."""
        if (out / ("reward.json" if name == "reward" else "card.json")).exists():
            self._whole(name, out)
        return any((out / "checkpoint").glob("*checkpoint-*")) or (out / "checkpoint" / "state.safetensors").exists()

    def _whole(self, name: str, out: Path) -> None:
        from metier.align.reward_model import load_reward
        from metier.bases import load_finetune

        if name == "reward":
            load_reward(out)
        else:
            assert load_finetune(out).card.alignment[-1].settings.method == name

    def _command(self, name: str, out: Path) -> list[str]:
        places = {"RUN": str(self.run), "PAIRS": str(self.pairs), "OUT": str(out)}
        return [sys.executable, "-m", "metier.cli", *(places.get(word, word) for word in COMMANDS[name])]

    def _finish(self, command: list[str]) -> None:
        line = command if command[0] == sys.executable else [sys.executable, "-m", "metier.cli", *command]
        done = subprocess.run(line, env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(line)}\n{done.stdout}\n{done.stderr}"


if __name__ == "__main__":
    main()
