"""Kill every long command at random moments, and check that it resumes, or that earlier files are unchanged.

    python tests/benchmarks/killed.py [--kills 20] [--commands adapt head dpo …] [--seed 0] [--json] [--out FILE]

Each command runs on a tiny random base in a process of its own, forked after the libraries are loaded, which gets
SIGKILL at a moment drawn evenly over an unbroken run's time. After every kill what the command leaves must either not
be there yet, or load whole; the next start must resume without an error; the fine-tune it began from must be as it
was; and in the end nothing may lie beside the result. A run that ended before its kill counts as none, and the next
starts again: in a new folder, for exports over the bundle of the run before, for `iterate` in a new registry, for
`evaluate` on a new copy of a run.
With `--out`, the rows of these commands replace those that the file holds.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: threads do not survive a fork
sys.path.insert(0, str(Path(__file__).parent.parent))

LOADED = (
    *("torch", "peft", "datasets", "onnxruntime", "metier.align.reinforcement", "metier.align.preference"),
    *("metier.heads.train", "metier.iterate.iteration", "metier.export", "onnxruntime_genai.models.builder"),
    *(f"trl.trainer.{method}_trainer" for method in ("dpo", "kto", "reward", "grpo")),
)
FORK = multiprocessing.get_context("fork")


def main() -> None:
    """Kill, check and resume every command; print the counts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--commands", nargs="+", default=list(COMMANDS), choices=list(COMMANDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        bench = KillBench(Path(scratch))
        for name in options.commands:
            found.append(bench.kill_repeatedly(name, options.kills, random.Random(f"{options.seed}{name}")))
            if options.out:
                _keep(options.out, found[-1])
    if options.json:
        return print(json.dumps(_result(found), indent=1))
    for row in found:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    return None


def _keep(file: Path, row: dict[str, Any]) -> None:
    before = json.loads(file.read_text("utf-8"))["commands"] if file.exists() else []
    rows = {one["command"]: one for one in [*before, row]}
    found = _result([rows[name] for name in COMMANDS if name in rows])
    file.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def _result(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "benchmark": "killed",
        "command": "python tests/benchmarks/killed.py --out FILE",
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": {n: version(n) for n in ("torch", "transformers", "trl", "peft", "onnxruntime-gpu")},
        "commands": rows,
    }


class KillBench:
    """Runs and kills commands on a tiny fine-tune with pairs, feedback, a bundle, a registry and a cache of its own."""

    def __init__(self, folder: Path) -> None:
        for name in LOADED:
            importlib.import_module(name)
        self.folder, self.run = folder, folder / "begun"
        os.environ["METIER_HOME"] = str(folder / "home")
        self._finish(FORK.Process(target=_prepare, args=(folder, self.run)))

    def kill_repeatedly(self, name: str, kills: int, chance: random.Random) -> dict[str, Any]:
        """Kill one command so many times; return the counts of what happened."""
        before = {p.name: p.read_bytes() for p in self.run.iterdir()}
        command, place = COMMANDS[name], self.folder / name
        place.mkdir()
        whole = 0.0
        for _ in range(2):  # the first one fills caches, which no later one does
            shutil.rmtree(place / "whole", ignore_errors=True)
            started = time.monotonic()
            self._finish(self._process(command, place / "whole"))
            whole = time.monotonic() - started
        command.whole(place / "whole")
        seen = {"command": name, "seconds": round(whole, 1), "killed": 0, "resumed": 0, "ended": 0}
        number, resumes = 0, False
        while seen["killed"] < kills:
            out = place / str(number)
            process = self._process(command, out)
            process.start()
            process.join(chance.uniform(0, whole))
            if process.is_alive():
                os.kill(process.pid or 0, signal.SIGKILL)
                process.join()
                seen["killed"] += 1
                seen["resumed"] += resumes
                if (out / command.last).exists():
                    command.whole(out)
                resumes = any(file.is_file() for file in out.glob(command.kept))
                print(name, seen, file=sys.stderr, flush=True)
                continue
            assert process.exitcode == 0, (place / f"{number}.log").read_text("utf-8")
            seen["ended"] += 1
            command.whole(out)
            resumes = False
            if name not in {"export", "merged"}:
                number += 1
                shutil.rmtree(out)
        self._finish(self._process(command, place / str(number)))
        command.whole(place / str(number))
        left = {p.name for p in place.iterdir() if p.suffix != ".log"} - {"whole", str(number)}
        assert not left, f"{left} lies beside what {name} wrote"
        assert {p.name: p.read_bytes() for p in self.run.iterdir()} == before, "the fine-tune it began from has changed"
        return seen

    def _process(self, command: Command, out: Path) -> Any:
        if "--out" not in command.line and not out.exists():  # it changes what is there
            shutil.copytree(self.folder / ("registry" if "REGISTRY" in command.line else "begun"), out)
        names = {"RUN": "begun", "PAIRS": "pairs.jsonl", "BASE": "base", "STORE": "feedback.db", "BUNDLE": "bundle"}
        places = {word: str(self.folder / name) for word, name in names.items()} | dict.fromkeys(OUTS, str(out))
        line = [places.get(word, word) for word in command.line]
        return FORK.Process(target=_command, args=(line, out.with_name(f"{out.name}.log")))

    def _finish(self, process: Any) -> None:
        process.start()
        process.join()
        assert process.exitcode == 0, [p.read_text("utf-8")[-3000:] for p in self.folder.rglob("*.log")]


def _fine_tune(out: Path) -> None:
    from metier.bases import load_finetune

    load_finetune(out)


def _head(out: Path) -> None:
    from metier.heads import load_head

    load_head(out)


def _reward(out: Path) -> None:
    from metier.align import load_reward

    load_reward(out)


def _bundle(out: Path) -> None:
    from metier.runtime.bundle import open_bundle

    open_bundle(out)


def _answering(out: Path) -> None:
    _bundle(out / "bundle")
    _fine_tune(out / "run")
    _report(out / "report.json", out / "run")


def _compared(out: Path) -> None:
    from metier.evaluate.recipe_comparison import Comparison

    for preset in Comparison.model_validate_json((out / "comparison.json").read_bytes()).presets:
        (_head if preset.recipe.produces == "head" else _fine_tune)(out / preset.preset.replace("/", "-"))


def _evaluated(out: Path) -> None:
    _report(out / "report.json", out)


def _report(file: Path, run: Path) -> None:
    from metier.bases import load_finetune
    from metier.evaluate import Evaluation

    found, tuned = Evaluation.model_validate_json(file.read_bytes()), load_finetune(run)
    assert found.fine_tune is not None and found.fine_tune.weights_sha256 == tuned.card.weights_sha256
    assert "</html>" in file.with_suffix(".html").read_text("utf-8")


def _registry(out: Path) -> None:
    from metier.iterate import Registry

    registry = Registry(out)
    for name in registry.names():
        assert registry.finetune(name).card
    assert registry.state().champion in registry.names()


class Command(NamedTuple):
    """A command line, and how to check that what it leaves is complete."""

    line: list[str]
    whole: Callable[[Path], None]
    last: str = "card.json"
    """Written last: where it is, the rest must be."""
    kept: str = "checkpoint/**/*"
    """What a start resumes from."""


OUTS = ("OUT", "REGISTRY")
FAST = ["--set", "precision=fp32", "--set", "checkpoint_seconds=0.1"]
LEARN = [*FAST, "--set", "epochs=4"]
LONG = ["--set", "epochs=30"]
"""Four epochs of a tiny head would be over before there is a checkpoint."""
DRAW = [*FAST, "--samples", "16", "--set", "updates=8", "--set", "rollouts=16", "--set", "max_tokens=8"]
PREFER = ["prefer", "RUN", "--data", "PAIRS", "--out", "OUT", *LEARN]
REINFORCE = ["reinforce", "RUN", "--out", "OUT", *DRAW]
ADAPT = ["--base", "BASE", "--out", "OUT", *LEARN]
COMMANDS = {
    "adapt": Command(["adapt", "adcopy.describe", "--samples", "32", *ADAPT], _fine_tune),
    "head": Command(
        ["adapt", "support.intent", "--samples", "64", "--set", "produces=head", "--set", "method=lora", *ADAPT, *LONG],
        _head,
    ),
    "dpo": Command(PREFER, _fine_tune),
    "kto": Command([*PREFER, "--method", "kto"], _fine_tune),
    "reward": Command(["reward", "RUN", "--data", "PAIRS", "--out", "OUT", *LEARN], _reward, last="reward.json"),
    "ppo": Command(REINFORCE, _fine_tune),
    "grpo": Command([*REINFORCE, "--method", "grpo"], _fine_tune),
    "compare": Command(
        ["compare", "support.intent", "--samples", "48", "--presets", "head/features,head/lora,text/lora", *ADAPT],
        _compared, last="comparison.json", kept="*/checkpoint/**/*",
    ),
    "evaluate": Command(["evaluate", "OUT", "--limit", "12"], _evaluated, last="report.json", kept="none"),
    "quickstart": Command(
        ["quickstart", "adcopy", "--limit", "6", "--base", "BASE", "--out", "OUT", *FAST, "--set", "epochs=0.3"],
        _answering, last="bundle/bundle.json",
        kept="run/checkpoint/**/*",
    ),
    "merged": Command(["export", "RUN", "--precision", "int8", "--out", "OUT"], _bundle, last="bundle.json"),
    "export": Command(["export", "RUN", "--slots", "--precision", "int8", "--out", "OUT"], _bundle, last="bundle.json"),
    "iterate": Command(
        ["iterate", "run", "REGISTRY", "--store", "STORE", "--bundle", "BUNDLE", "--epochs", "4"], _registry,
        last="state.json", kept="work/**/*",
    ),
}  # fmt: skip


def _command(line: list[str], log: Path) -> None:
    """What `metier …` does, in this process; its output goes into a file."""
    from metier.cli.app import app

    with log.open("w", encoding="utf-8") as printed:
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
        try:
            app(line, standalone_mode=True)
        except SystemExit as end:
            sys.stdout.flush()
            os._exit(int(end.code or 0))


def _prepare(folder: Path, run: Path) -> None:
    from conftest import make_tiny_base
    from metier.cli.app import app
    from metier.contracts import Answer
    from metier.data.training import training_data
    from metier.feedback import FeedbackStore
    from metier.plugins import load_plugins

    base = make_tiny_base(folder / "base")
    few = ["--samples", "16", "--set", "epochs=1", "--set", "precision=fp32", "--base", str(base)]
    for words in (
        ["adapt", "adcopy.describe", "--out", str(run), *few],
        ["iterate", "start", str(folder / "registry"), "--from", str(run)],
        ["export", str(run), "--slots", "--precision", "fp32", "--out", str(folder / "bundle")],
    ):
        app(words, standalone_mode=False)
    samples = [json.loads(text) for text in (run / "train.jsonl").read_text("utf-8").splitlines()]
    pairs = [
        {"task": s["task"], "input": s["input"], "chosen": s["output"],
         "rejected": {"text": "Best ever. " + s["output"]["text"]}}
        for s in samples
    ]  # fmt: skip
    (folder / "pairs.jsonl").write_text("".join(json.dumps(one) + "\n" for one in pairs), "utf-8")
    with FeedbackStore(folder / "feedback.db") as store:
        for sample in training_data(*load_plugins().task("adcopy.describe")).train[:80]:
            answer = Answer(task=sample.task, input=sample.input, output=sample.output, consent=True)
            store.add(answer)
            store.add_event(answer.id, "accepted")


if __name__ == "__main__":
    main()
