"""The tables of the page on transfer: method × layers × quality × time × size, from the benchmark's committed results.
It measures nothing.
"""

from __future__ import annotations

import json
import math
import statistics
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page
from shipped import ROOT

RESULTS = ROOT / "tests/benchmarks/results/transfer_cpu.json"
TABLES = {
    "transfer classification": ("banking77", "support.intent"),
    "transfer entities": ("support.entities",),
    "transfer generation": ("adcopy.describe",),
}
HEAD = (
    "| base | produces | method | layers | {metric} | s an epoch | s in all | ms an answer | MB | seeds |\n"
    + "|---" * 10
    + "|"
)
TITLES = {"accuracy": "accuracy", "span_f1": "span F1", "bleu": "BLEU", "chrf": "chrF", "rouge_l": "ROUGE-L"}
_STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}
"""Student's t for a two-sided 95% interval of the mean of so many seeds."""


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """mkdocs calls this for every page: markers are replaced by their tables."""
    for name, tasks in TABLES.items():
        marker = f"<!-- {name} -->"
        if marker in markdown:
            found = json.loads(RESULTS.read_text("utf-8"))
            measured = [task for task in tasks if any(run["task"] == task for run in found["runs"])]
            markdown = markdown.replace(marker, "\n\n".join(table(found, task) for task in measured))
    return markdown


def table(found: dict[str, Any], task: str) -> str:
    """One task's presets, base by base, the best first, with what was measured above them."""
    runs = [run for run in found["runs"] if run["task"] == task]
    presets: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for run in runs:
        presets.setdefault((run["base"], run["preset"]), []).append(run)
    bases = list(dict.fromkeys(base for base, _ in presets))
    ranked = sorted(presets.items(), key=lambda one: (bases.index(one[0][0]), -_mean(one[1], "quality")))
    metric = runs[0]["metric"]
    lines = [
        HEAD.format(metric=TITLES.get(metric, metric)),
        *(_row(base, preset, rows) for (base, preset), rows in ranked),
    ]
    inputs = {base: sorted({run["inputs"] for run in runs if run["base"] == base}) for base in bases}
    measured = "; ".join(f"{base}: {' to '.join(map(str, dict.fromkeys((n[0], n[-1]))))}" for base, n in inputs.items())
    samples = sorted({run["samples"] for run in runs})
    counts = " to ".join(map(str, dict.fromkeys((samples[0], samples[-1]))))
    return (
        f"`{task}`, {counts} samples to learn from. Held-out inputs ({measured}). {found['machine']}.\n\n"
        + "\n".join(lines)
    )


def _row(base: str, preset: str, rows: list[dict[str, Any]]) -> str:
    kind, method, *layers = preset.split("/")
    cells = [f"`{base}`", kind, method, layers[0] if layers else "all", _interval([row["quality"] for row in rows])]
    timed = [row for row in rows if row.get("device", "cpu") == "cpu" and not row.get("busy")]
    if timed:
        epoch = statistics.median(row["epoch_seconds"] for row in timed)
        cells += [f"{epoch:.2f}" if epoch < 10 else f"{epoch:.0f}", f"{_mean(timed, 'training_seconds'):.0f}"]
        cells.append(f"{_mean(timed, 'answer_ms'):.0f}")
    else:
        cells += ["–"] * 3
    cells += [f"{_mean(rows, 'megabytes'):.1f}", str(len(rows))]
    return f"| {' | '.join(cells)} |"


def _interval(values: list[float]) -> str:
    """Mean and half the width of its 95% interval over seeds."""
    mean = f"{statistics.mean(values):.1f}"
    if len(values) < 2:
        return f"{mean} (one seed)"
    return f"{mean} ± {_STUDENT[len(values)] * statistics.stdev(values) / math.sqrt(len(values)):.1f}"


def _mean(rows: list[dict[str, Any]], key: str) -> float:
    return statistics.mean(row[key] for row in rows)
