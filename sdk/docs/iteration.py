"""The figures of the page on iteration, from committed results: the time of an iteration, the simulated week by
day, a plan, and commands killed at random moments. It measures nothing, except for `plan`.

    python sdk/docs/iteration.py week RUN     # keeps a run of examples/iterate_week.py as a result, and its plot
    python sdk/docs/iteration.py plan RUN FILE [OPTIONS]     # runs `metier iterate plan`, and keeps its output

The page's plan is of a run with `--until=3`, kept as tests/benchmarks/results/iterate_plan.json.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

from shipped import ROOT

RESULTS, PLOT = ROOT / "tests/benchmarks/results", ROOT / "sdk/docs/pages/iterate/week.svg"
SPEED, WEEK, PLAN, KILLED, RECORDING = "iterate_cpu", "iterate_week", "iterate_plan", "killed_loop", "recording_cpu"

Result = dict[str, Any]


def on_page_markdown(markdown: str, **_: Any) -> str:
    """mkdocs calls this for every page: markers are replaced by their text."""
    for name, write in WRITERS.items():
        if (marker := f"<!-- {name} -->") in markdown:
            markdown = markdown.replace(marker, write(json.loads((RESULTS / f"{name}.json").read_text("utf-8"))))
    return markdown


def speed(found: Result) -> str:
    """A row for every measured recipe; of the best that reaches the goal and of the default the share of each step."""
    runs, goal = found["runs"], found["goal_seconds"]
    rows = []
    for run in runs:
        settings, layers = run["settings"], run["recipe"]["layers"]
        rows.append(
            f"| {layers} | {settings['epochs']:g} | {settings['learning_rate']:g} | **{run['seconds']:.0f}** |"
            f" {run['steps']['adapting']:.0f} | {_signed(run['loss_difference'], 3)} |"
            f" {_signed(run['full_run']['turn_less_full'], 3)} | {'yes' if inside(run) else 'no'} | {run['outcome']} |"
        )
    head = (
        "layers", "epochs", "rate", "seconds", "of these adapting", "held-out loss, less the champion's",
        "less the full run's", "inside", "gate",
    )  # fmt: skip
    reached = [run for run in runs if run["seconds"] <= goal and inside(run) and run["version"]]
    own = next(run for run in runs if not run["set"])
    best = min(reached, key=lambda run: run["loss_difference"]["value"], default=own)
    verdict = (
        f"The goal, an adapter that passes within {goal} s with its quality inside the interval of the full run, is"
        f" reached by layers `{best['recipe']['layers']}`."
        if reached
        else f"None reaches the goal, an adapter that passes within {goal} s, inside the interval of the full run."
    )
    steps = [
        f"| {step} | {best['steps'][step]:.1f}, {best['steps'][step] / best['seconds']:.0%} |"
        f" {seconds:.1f}, {seconds / own['seconds']:.0%} |"
        for step, seconds in own["steps"].items()
    ]
    named = f"layers {best['recipe']['layers']}", f"layers {own['recipe']['layers']}"
    setting = (
        f"{own['new_samples']} new samples, {own['replayed']} replayed, LoRA of rank {own['recipe']['lora']['rank']}"
    )
    return "\n\n".join(
        [
            f"{setting}:",
            _table(*head, rows=rows),
            verdict,
            _table("seconds and share of each step", *named, rows=steps),
            f"{named[0].capitalize()} against the full run:",
            _table("", "full run", "this iteration", "iteration less full run", "inside", rows=_against_full(best)),
            _origin(found),
        ]
    )


def inside(run: Result) -> bool:
    """Whether an iteration's loss and every metric of the task lie inside the full run's intervals."""
    return _loss_inside(run) and all(metric["inside"] for metric in run["full_run"]["metrics"].values())


def _loss_inside(run: Result) -> bool:
    full = run["full_run"]
    return bool(full["loss"]["low"] <= full["turn_loss"]["value"] <= full["loss"]["high"])


def _against_full(run: Result) -> list[str]:
    full = run["full_run"]
    rows = [
        f"| held-out loss, nats per token | {_spread(full['loss'], 3)} | {full['turn_loss']['value']:.3f} |"
        f" {_signed(full['turn_less_full'], 3)} | {'yes' if _loss_inside(run) else 'no'} |"
    ]
    for name, metric in full["metrics"].items():
        rows.append(
            f"| {name} | {_spread(metric['full'], 1)} | {metric['turn']['value']:.1f} |"
            f" {_signed(metric['turn_less_full'], 1)} | {'yes' if metric['inside'] else 'no'} |"
        )
    return rows


def week(found: Result) -> str:
    """The plot, and a row for each day."""
    rows = []
    for day in found["days"]:
        feedback = ", ".join(f"{count} {kind}" for kind, count in day["feedback"].items())
        rows.append(f"| {day['day']} | {feedback} | {_judged(day)} | {_outcome(day)} | {day['champion']} |")
    plot = "![Held-out loss and BLEU over the days, of who answers and of each evening's challenger](iterate/week.svg)"
    head = "day", "users", "held-out loss, nats per token", "what came of it", "champion in the evening"
    return "\n\n".join([plot, _table(*head, rows=rows), _origin(found)])


def _judged(day: Result) -> str:
    if "loss" not in day:
        return ""
    loss = day["loss"]
    return f"{loss['champion']:.3f} → {loss['challenger']:.3f}, {_signed(day['loss_difference'], 3)}"


def _outcome(day: Result) -> str:
    events = []
    if trial := day.get("trial"):
        shares = [
            f"{trial[side]} {_spread(trial['good'][name], 0, 100)} % of {trial['answers'][name]}"
            for side, name in (("champion", _named(trial, "champion")), ("challenger", _named(trial, "challenger")))
            if name in trial["good"]
        ]
        events.append(f"trial over: good answers {', '.join(shares)}; {trial['challenger']} {trial['end']}")
    if "rejected_by_hand" in day:
        events.append(f"an editor rejects day {day['rejected_by_hand']} by hand")
    words = {"canary": f"{day.get('version')} passes, on trial with half of the users", "waiting": "waits for more"}
    events.append(words.get(day["outcome"], f"{day['outcome']} {day.get('version') or ''}".strip()))
    if day["outcome"] in ("waiting", "rejected"):
        events[-1] += f" ({day['why']})"
    if day.get("overruled"):
        events.append("put before half of the users by hand, against the gate")
    return "; ".join(events)


def _named(trial: Result, side: str) -> str:
    return str(next(name for name in trial["answers"] if name.endswith(f".{trial[side]}")))


def plan(found: Result) -> str:
    """A command, what it printed, and the runs that the curve goes through."""
    points: dict[int, list[float]] = {}
    for point in found["plan"]["curve"]["points"]:
        points.setdefault(point["samples"], []).append(point["loss"])
    rows = [f"| {size} | {', '.join(f'{loss:.3f}' for loss in losses)} |" for size, losses in points.items()]
    floor, gap, rate = found["plan"]["curve"]["law"]
    printed = f"```console\n$ {found['command']}\n{found['output'].strip()}\n```"
    law = f"The curve through these runs is `{floor:.3f} + {gap:.3f} · n^-{rate:.3f}`:"
    return "\n\n".join([printed, law, _table("samples", "held-out loss of each seed", rows=rows), _origin(found)])


def killed(found: Result) -> str:
    """A row for each command."""
    names = {
        "plan": "`iterate plan`", "collect": "`feedback collect`", "import": "`feedback import`",
        "move": "`iterate promote`, `rollback`",
    }  # fmt: skip
    rows = [f"| {names[row['command']]} | {row['killed']} | {row['ended']} |" for row in found["commands"]]
    return "\n\n".join([_table("command", "killed", "ended before their kill", rows=rows), _origin(found)])


def recording(found: Result) -> str:
    """One sentence."""
    return (
        f"Measured with {found['callers']} callers on one core, rounds of {found['answers']} answers take"
        f" {found['recorded_over_alone']:.2f} times as long recorded as alone; one write by itself takes"
        f" {found['write_ms']:.1f} ms (`{found['command']}`, {found['when'][:10]})."
    )


WRITERS: dict[str, Callable[[Result], str]] = {
    SPEED: speed,
    WEEK: week,
    PLAN: plan,
    KILLED: killed,
    RECORDING: recording,
}
"""Name of a result, and of its marker on the page → the function that writes its text."""


def _table(*head: str, rows: list[str]) -> str:
    return "\n".join([f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *rows])


def _spread(estimate: Result, digits: int, times: float = 1) -> str:
    value, low, high = (f"{times * estimate[key]:.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _signed(estimate: Result, digits: int) -> str:
    value, low, high = (f"{estimate[key]:+.{digits}f}".replace("-", "−") for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _origin(found: Result) -> str:
    return f"`{found['command']}`, {found['when'][:10]}, {found['machine']}."


def keep_plan(run: Path, file: Path, options: list[str]) -> None:
    """The answer of `metier iterate plan` to a simulated week as far as it went, in words and as data."""
    days = len((run / "days.jsonl").read_text("utf-8").splitlines())
    last = (_example().MONDAY + timedelta(days=days - 1)).date()
    line = ["iterate", "plan", "registry", "--store", "feedback.db", "--now", str(last), *options]

    def plan_output(*more: str) -> str:
        command = [sys.executable, "-m", "metier.cli", *line, *more]
        return subprocess.run(command, cwd=run, check=True, text=True, stdout=subprocess.PIPE).stdout

    kept: Result = {
        "benchmark": PLAN,
        "command": " ".join(["metier", *line]),
        "users": f"simulated: {days} days of the week",
        **_where(),
        "output": plan_output(),
        "plan": json.loads(plan_output("--json")),
    }
    del kept["plan"]["curve"]["resampled"]  # what the intervals were read off
    file.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")


def keep_week(run: Path) -> None:
    """A finished week as a result, and its plot beside the page."""
    days = [json.loads(line) for line in (run / "days.jsonl").read_text("utf-8").splitlines()]
    PLOT.write_text(_example().plot(days), "utf-8")
    kept: Result = {
        "benchmark": WEEK,
        "users": "simulated",
        "command": "python examples/iterate_week.py runs/week",
        **_where(),
        "days": days,
    }
    (RESULTS / f"{WEEK}.json").write_text(json.dumps(kept, indent=1) + "\n", "utf-8")


def _example() -> Any:
    spec = importlib.util.spec_from_file_location("iterate_week", ROOT / "examples/iterate_week.py")
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    return example


def _where() -> Result:
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": {name: version(name) for name in ("onnxruntime-gpu", "torch", "transformers", "peft")},
    }


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["week", run]:
            keep_week(Path(run))
        case ["plan", run, file, *options]:
            keep_plan(Path(run), Path(file), options)
        case _:
            sys.exit(__doc__)
