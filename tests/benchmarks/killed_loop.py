"""Kill the loop's commands at random moments, and check that nothing is half written and that they resume;
`killed.py` does so with `iterate run`.

    python tests/benchmarks/killed_loop.py [--kills 20] [--commands plan collect import move] [--seed 0] [--json]

Each command runs on a tiny random base in a process of its own, forked after the libraries are loaded, which gets
SIGKILL at a moment drawn evenly over an unbroken run's time. After every kill the registry and the store must be what
they were before the command or what they are after it; started again it must resume without an error and end as the
unbroken one did. `kill_repeatedly` is the same for other programs.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from slot_bundles import machine

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: threads do not survive a fork
sys.path.insert(0, str(Path(__file__).parent.parent))

LOADED = ("torch", "peft", "metier.adapt.sft", "metier.iterate.registry", "metier.feedback.exchange")
FORK = multiprocessing.get_context("fork")
TASK, COMMAND = "adcopy.describe", "python tests/benchmarks/killed_loop.py --json"
LINES: dict[str, list[list[str]]] = {
    "plan": [["iterate", "plan", "registry", "--store", "store.db", "--sizes", "4,8,12", "--seeds", "2"]],
    "collect": [["feedback", "collect", "store.db", TASK, "--out", "collected", "--after", after] for after in "07"],
    "import": [["feedback", "import", "other.db", "rows.jsonl"]],
    "move": [["iterate", "promote", "registry", "v0002"], ["iterate", "rollback", "registry"]],
}  # fmt: skip
"""Command lines of each command; they run in this order, and again from the first."""


def main() -> None:
    """Kill, check and resume every command; print the counts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--commands", nargs="+", default=list(LINES), choices=list(LINES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = kill_repeatedly(options.commands, options.kills, options.seed)
    if options.json:
        how = {"benchmark": "killed_loop", **machine("torch", "peft"), "command": COMMAND, "kills": options.kills}
        return print(json.dumps({**how, "commands": found}, indent=1))
    for row in found:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    return None


def kill_repeatedly(commands: Sequence[str] = tuple(LINES), kills: int = 20, seed: int = 0) -> list[dict[str, Any]]:
    """Kill each command so many times; a row for each: its unbroken seconds, kills, and how many runs came to an end.

    Raises:
        AssertionError: something was half written, or a command did not resume.
    """
    for name in LOADED:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as scratch:
        bench = KillBench(Path(scratch))
        return [bench.kill_repeatedly(name, kills, random.Random(f"{seed}{name}")) for name in commands]


class KillBench:
    """Runs and kills commands on a registry of two versions of a tiny fine-tune, and a store with feedback."""

    def __init__(self, folder: Path) -> None:
        self.home, self.here = folder / "home", folder / "here"
        os.environ["METIER_HOME"] = str(folder / "cache")
        self._finish(FORK.Process(target=_prepare, args=(self.home,)))

    def kill_repeatedly(self, name: str, kills: int, chance: random.Random) -> dict[str, Any]:
        """Kill one command so many times; return the counts of what happened."""
        lines, states, seconds = LINES[name], [], 0.0
        self._renew()
        states.append(_state(name, self.here))
        for line in lines:
            started = time.monotonic()
            self._finish(self._process(line))
            seconds = max(seconds, time.monotonic() - started)
            states.append(_state(name, self.here))
        assert all(a != b for a, b in itertools.pairwise(states)), "a line that changes nothing"
        seen, current = {"command": name, "seconds": round(seconds, 2), "killed": 0, "ended": 0}, 0
        self._renew()
        while seen["killed"] < kills:
            process = self._process(lines[current])
            process.start()
            process.join(chance.uniform(0, seconds))
            ended = not process.is_alive()
            if not ended:
                os.kill(process.pid or 0, signal.SIGKILL)
                process.join()
                seen["killed"] += 1
            elif process.exitcode:
                raise AssertionError(self._log_tail())
            found = _state(name, self.here)
            if found == states[current + 1]:
                seen["ended"] += ended
                current = (current + 1) % len(lines)
                if current == 0:
                    self._renew()
            else:
                assert not ended and found == states[current], f"{name}: neither what was there nor what was to be"
            print(name, seen, file=sys.stderr, flush=True)
        self._finish(self._process(lines[current]))
        assert _state(name, self.here) == states[current + 1], f"{name} did not end as the unbroken one"
        return seen

    def _renew(self) -> None:
        shutil.rmtree(self.here, ignore_errors=True)
        shutil.copytree(self.home, self.here)

    def _process(self, line: list[str]) -> Any:
        return FORK.Process(target=_command, args=(line, self.here))

    def _finish(self, process: Any) -> None:
        process.start()
        process.join()
        assert process.exitcode == 0, self._log_tail()

    def _log_tail(self) -> str:
        log = self.here / "log"
        return log.read_text("utf-8")[-3000:] if log.is_file() else "no log"


def _state(name: str, here: Path) -> Any:
    """All that a command may change, less times and chance; it raises where a file is half written."""
    return _LOOKS[name](here)


def _registry(here: Path) -> Any:
    from metier.iterate import Registry

    registry = Registry(here / "registry")
    state = registry.state()
    for name in (*state.champions, *([state.challenger] if state.challenger else [])):
        registry.finetune(name)  # its checksum holds
        registry.version(name)
        registry.pool(name)
    return state.champions, state.challenger, state.consumed, state.rejected, [move.action for move in state.history]


def _planned(here: Path) -> Any:
    """Whether every point exists. Existing ones can be parsed; the registry and the store are unchanged."""
    points = [json.loads(file.read_text("utf-8")) for file in (here / "registry/curve").glob("*.json")]
    assert _registry(here) == _registry(here.with_name("home")) and _stored(here / "store.db")
    return len(points) == 6


def _collected(here: Path) -> Any:
    return {file.name: file.read_text("utf-8") for file in sorted((here / "collected").glob("*"))}


def _imported(here: Path) -> Any:
    return _stored(here / "other.db") if (here / "other.db").is_file() else (0, 0)


def _stored(path: Path) -> tuple[int, int]:
    from metier.feedback import FeedbackStore

    with FeedbackStore(path) as store:
        counts = store.counts()
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return counts["answers"], sum(counts.values()) - counts["answers"]


_LOOKS: dict[str, Callable[[Path], Any]] = {
    "plan": _planned,
    "collect": _collected,
    "import": _imported,
    "move": _registry,
}


def _command(line: list[str], here: Path) -> None:
    """What `metier …` does, in this process; its output goes into a file."""
    from metier.cli.app import app

    os.chdir(here)
    with (here / "log").open("w", encoding="utf-8") as printed:
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
        try:
            app(line, standalone_mode=True)
        except SystemExit as end:
            sys.stdout.flush()
            os._exit(int(end.code or 0))


def _prepare(home: Path) -> None:
    from conftest import make_tiny_base
    from metier.adapt import adapt
    from metier.contracts import Answer, FeedbackEvent
    from metier.data.training import training_data
    from metier.feedback import FeedbackStore
    from metier.feedback.exchange import export_jsonl
    from metier.iterate import Registry
    from metier.plugins import load_plugins
    from metier.training import recipe_for

    home.mkdir(parents=True)
    base = make_tiny_base(home / "base")
    vertical, task = load_plugins().task(TASK)
    data = training_data(vertical, task)
    few = [f"base={base}", "epochs=1", "precision=fp32", "max_length=1024", "evaluations=1", "lora.rank=2"]
    first = adapt(task, data.train[:16], data.held_out[:2], recipe_for(vertical, TASK, overrides=few), home / "first")
    registry = Registry.create(home / "registry", first)
    registry.add(first, data.train[:16], parent="v0001")
    with FeedbackStore(home / "store.db") as store:
        for number, sample in enumerate(data.train[16:28]):
            answer = Answer(id=str(number), task=TASK, input=sample.input, output={"text": "…"}, consent=True)
            edit = FeedbackEvent(id=str(number), answer=answer.id, kind="edited", edited_to=sample.output)
            store.add(answer, edit)
        export_jsonl(store, home / "rows.jsonl")


if __name__ == "__main__":
    main()
