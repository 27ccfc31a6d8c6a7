"""Kill every alignment command at random moments, and see that it goes on, or that what was there before still is.

    python tests/benchmarks/killed.py [--kills 20] [--commands dpo kto reward ppo grpo] [--seed 0] [--json]

Each command runs on a tiny random base in a process of its own, forked after the libraries are loaded, which gets
SIGKILL at a moment drawn evenly over an unbroken run's time. After every kill the result's folder must either have no
card, or one that loads whole; the next start must go on without a complaint; the fine-tune it began from must be as it
was. A run that ended before its kill counts as none, and the next begins in a new folder.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: threads do not survive a fork
sys.path.insert(0, str(Path(__file__).parent.parent))

LOADED = (
    *("torch", "peft", "datasets", "onnxruntime", "metier.align.reinforcement", "metier.align.preference"),
    *(f"trl.trainer.{method}_trainer" for method in ("dpo", "kto", "reward", "grpo")),
)
FORK = multiprocessing.get_context("fork")
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
        for name in LOADED:
            importlib.import_module(name)
        self.folder, self.run, self.pairs = folder, folder / "begun", folder / "pairs.jsonl"
        os.environ["METIER_HOME"] = str(folder / "home")
        self._finish(FORK.Process(target=_prepare, args=(folder, self.run, self.pairs)))

    def torment(self, name: str, kills: int, chance: random.Random) -> dict[str, Any]:
        """Kill one command so many times; what was seen."""
        before = {p.name: p.read_bytes() for p in self.run.iterdir()}
        started = time.monotonic()
        self._finish(self._process(name, self.folder / f"{name}-whole"))
        whole = time.monotonic() - started
        seen = {"command": name, "seconds": round(whole, 1), "killed": 0, "resumed": 0, "ended": 0}
        number, checkpoints = 0, False
        while seen["killed"] < kills:
            out = self.folder / f"{name}-{number}"
            process = self._process(name, out)
            process.start()
            process.join(chance.uniform(0, whole))
            if process.is_alive():
                os.kill(process.pid or 0, signal.SIGKILL)
                process.join()
                seen["killed"] += 1
                seen["resumed"] += checkpoints
                checkpoints = self._look(name, out)
                print(name, seen, file=sys.stderr, flush=True)
                continue
            assert process.exitcode == 0, (out.parent / f"{out.name}.log").read_text("utf-8")
            seen["ended"] += 1
            self._whole(name, out)
            number, checkpoints = number + 1, False
            shutil.rmtree(out)
        out = self.folder / f"{name}-{number}"
        self._finish(self._process(name, out))
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

    def _process(self, name: str, out: Path) -> Any:
        places = {"RUN": str(self.run), "PAIRS": str(self.pairs), "OUT": str(out)}
        line = [places.get(word, word) for word in COMMANDS[name]]
        return FORK.Process(target=_command, args=(line, out.parent / f"{out.name}.log"))

    def _finish(self, process: Any) -> None:
        process.start()
        process.join()
        assert process.exitcode == 0, [p.read_text("utf-8")[-3000:] for p in self.folder.glob("*.log")]


def _command(line: list[str], log: Path) -> None:
    """What `metier …` does, in this process; what it says goes into a file."""
    from metier.cli.app import app

    with log.open("w", encoding="utf-8") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
        try:
            app(line, standalone_mode=True)
        except SystemExit as end:
            sys.stdout.flush()
            os._exit(int(end.code or 0))


def _prepare(folder: Path, run: Path, pairs: Path) -> None:
    from conftest import make_tiny_base
    from metier.cli.app import app

    base = make_tiny_base(folder / "base")
    few = ["--samples", "16", "--set", "epochs=1", "--set", "precision=fp32", "--base", str(base)]
    app(["adapt", "adcopy.describe", "--out", str(run), *few], standalone_mode=False)
    samples = [json.loads(text) for text in (run / "train.jsonl").read_text("utf-8").splitlines()]
    told = [
        {"task": s["task"], "input": s["input"], "chosen": s["output"],
         "rejected": {"text": "Best ever. " + s["output"]["text"]}}
        for s in samples
    ]  # fmt: skip
    pairs.write_text("".join(json.dumps(one) + "\n" for one in told), "utf-8")


if __name__ == "__main__":
    main()
