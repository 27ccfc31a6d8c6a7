"""Runs the shipped fine-tunes on packaged held-out inputs and stores their answers for the pages of the trades.

The fine-tunes of one base go into one bundle as adapters, which takes minutes; the first held-out inputs of each task,
two in its first language and one in each other, are answered greedily, and kept whatever comes out.

    python sdk/docs/record.py [--bundle runs/trades] [--into sdk/docs/answers] [TRADE …]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shipped import ANSWERS, trades

from metier.contracts import MetierError, Vertical, readings
from metier.data.training import packaged
from metier.export import export_slots
from metier.plugins import load_plugins
from metier.runtime import Engine
from metier.runtime.input_bridges import run_input_bridges


def answers(engine: Engine, vertical: Vertical) -> list[dict[str, Any]]:
    """The first held-out inputs of each task, and what the fine-tune that was trained for it makes of them."""
    cards = [entry.card for entry in engine.bundle.manifest.adapters if entry.card]
    trained = {task.name: card for card in cards for task in card.tasks}
    found = []
    for task in vertical.tasks:
        if (card := trained.get(task.name)) is None:
            continue
        inputs: dict[str, list[Any]] = {language: [] for language in task.languages}
        for sample in packaged(vertical, task, "held_out"):
            inputs[task.language_of(sample.input, sample.language)].append(sample.input)
        chosen = [(lang, v) for i, (lang, values) in enumerate(inputs.items()) for v in values[: 1 if i else 2]]
        for language, value in chosen:
            row: dict[str, Any] = {"task": task.name, "language": language, "input": value}
            try:
                row["output"] = engine.run(task.name, value)
            except MetierError as error:
                row["problem"] = error.what
            else:
                checks = vertical.checks_for(task.name)
                row["checks"] = {c.name: [f.message for f in c.run(value, row["output"])] for c in checks}
            found.append(row | {"fine_tune": card.name, "weights_sha256": card.weights_sha256})
    return found


def read_by_bridges() -> list[dict[str, Any]]:
    """For each field that a bridge can fill: the first held-out photo, and what is read off it."""
    bridges = load_plugins().bridges.values()
    found = []
    for vertical in trades():
        for task in vertical.tasks:
            for reading in readings(task.input):
                value = packaged(vertical, task, "held_out")[0].input
                chain = reading.chain(bridges)
                if chain is None:
                    continue
                left_out = {name: item for name, item in value.items() if name != reading.field}
                row = {"task": task.name, "field": reading.field, "source": value[reading.source]}
                found.append(row | {"read": run_input_bridges(task, left_out, bridges)[reading.field]})
    return found


def main() -> None:
    """Write one JSON file per trade that ships a fine-tune, and one for the bridges."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trades", nargs="*", metavar="TRADE")
    parser.add_argument(
        "--bundle", type=Path, help="such as `metier export` makes of the trades; exported where missing"
    )
    parser.add_argument("--into", type=Path, default=ANSWERS)
    given = parser.parse_args()
    _write(given.into / "bridges.json", read_by_bridges())
    chosen = [v for v in trades() if v.fine_tunes and (not given.trades or v.name in given.trades)]
    if not chosen:
        sys.exit("none of these trades ships a fine-tune")
    of_base: dict[str, list[Vertical]] = {}
    for vertical in chosen:
        of_base.setdefault(vertical.fine_tunes[0].card.base.id, []).append(vertical)
    if given.bundle and len(of_base) > 1:
        sys.exit(
            f"one bundle cannot hold fine-tunes of {len(of_base)} bases: name trades of one, or leave --bundle out"
        )
    with tempfile.TemporaryDirectory(prefix="metier-docs-") as folder:
        for base, trades_of_base in of_base.items():
            bundle = given.bundle or Path(folder) / base
            if not bundle.is_dir():
                found = [f for vertical in trades_of_base for f in vertical.fine_tunes]
                export_slots(found, bundle, progress=_print_progress)
            _record(bundle, trades_of_base, given.into)


def _record(bundle: Path, verticals: list[Vertical], into: Path) -> None:
    with Engine(bundle, bridges=load_plugins().bridges.values()) as engine:
        manifest = engine.bundle.manifest
        for vertical in verticals:
            recorded = {
                "command": "python sdk/docs/record.py",
                "when": datetime.now(UTC).date().isoformat(),
                "base": manifest.base.id,
                "precision": manifest.precision,
                "answers": answers(engine, vertical),
            }
            _write(into / f"{vertical.name}.json", recorded)


def _print_progress(stage: str, done: int, total: int) -> None:
    print(stage, done, total, file=sys.stderr)


def _write(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", "utf-8")
    print(path)


if __name__ == "__main__":
    main()
