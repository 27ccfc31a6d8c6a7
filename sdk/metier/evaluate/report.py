"""Writes an evaluation as one self-contained HTML file, and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from metier.contracts import Value
from metier.disk import write_atomic
from metier.evaluate.plots import loss_svg, metrics_svg
from metier.metrics.results import (
    BASE_ZERO_SHOT,
    FINE_TUNE,
    Difference,
    Evaluation,
    Interval,
    MetricReport,
)

OPEN_ROWS = 12
"""Inputs shown at first; the others are collapsed."""


def write_html(evaluation: Evaluation, path: Path) -> Path:
    """The report as one self-contained file."""
    return _write(path, render_html(evaluation))


def write_json(evaluation: Evaluation, path: Path) -> Path:
    """The evaluation as `Evaluation.model_validate_json` reads it."""
    return _write(path, evaluation.model_dump_json(indent=1))


def render_html(evaluation: Evaluation) -> str:
    """The report's HTML. All text that users or models wrote is escaped by the template."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("metier.evaluate", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(figure=figure, signed=signed, readable=readable)
    task = [m for m in evaluation.metrics if m.kind == "task"]
    checks = [m for m in evaluation.metrics if m.kind == "check"]
    loss = loss_svg(evaluation)
    return environment.get_template("report.html.j2").render(
        e=evaluation,
        headline=headline(evaluation),
        cards=_cards(evaluation),
        groups=[
            (title, metrics, Markup(metrics_svg(evaluation, metrics)))
            for title, metrics in (("Task metrics", task), ("Checks of the trade", checks))
            if metrics
        ],
        loss=Markup(loss) if loss else None,
        kept=evaluation.base_kept,
        decoded=any(system.name == BASE_ZERO_SHOT for system in evaluation.systems),
        open_rows=OPEN_ROWS,
    )


def headline(evaluation: Evaluation) -> str:
    """The result on the first metric, in a sentence."""
    metric = evaluation.metrics[0]
    difference = _gain(evaluation, metric)
    if difference is None:
        first = evaluation.systems[0]
        return f"{first.title} scores {_interval(metric, metric.values[first.name])} {metric.title}."
    better = (difference.interval.value > 0) == metric.higher_is_better
    verb = ("gains" if better else "loses") if difference.certain else "shows no certain change:"
    against = next(s.title for s in evaluation.systems if s.name == difference.against).lower()
    size = _interval(metric, difference.interval, sign=True)
    return f"The fine-tune {verb} {size} {metric.title} against {against}."


def _gain(evaluation: Evaluation, metric: MetricReport) -> Difference | None:
    """The fine-tune against the base's best system."""
    found = [d for d in metric.differences if d.system == FINE_TUNE]
    sign = 1 if metric.higher_is_better else -1
    return max(found, key=lambda d: sign * metric.values[d.against].value, default=None)


def _cards(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The figures to show first: each metric from the base to the last system, and forgetting."""
    first, last = evaluation.systems[0].name, evaluation.systems[-1].name
    if any(s.name == FINE_TUNE for s in evaluation.systems):
        last = FINE_TUNE
    chosen = [m for m in evaluation.metrics if m.kind == "task"][:2] + [
        m for m in evaluation.metrics if m.name == "findings"
    ]
    cards = [
        {
            "title": m.title,
            "before": figure(m.values[first].value, m) if first != last else None,
            "after": figure(m.values[last].value, m),
            "note": f"{evaluation.confidence:.0%} interval {figure(m.values[last].low, m)} to "
            f"{figure(m.values[last].high, m)}",
        }
        for m in chosen
    ]
    if evaluation.forgetting and evaluation.forgetting.after is not None:
        forgetting = evaluation.forgetting
        cards.append(
            {
                "title": "General perplexity",
                "before": f"{forgetting.before:.3g}",
                "after": f"{forgetting.after:.3g}",
                "note": f"{forgetting.change:+.1%}; growth is forgetting",
            }
        )
    return cards


def figure(value: float, metric: MetricReport) -> str:
    """A figure in the metric's unit."""
    if metric.unit == "percent":
        return f"{value:.0f}%"
    return f"{value:.2f}" if metric.unit == "count" or abs(value) < 1 else f"{value:.1f}"


def signed(value: float, metric: MetricReport) -> str:
    """A difference, with its sign; percentages differ by points."""
    return (f"{value:+.2f}" if metric.unit == "count" else f"{value:+.1f}").replace("-", "−")


def _interval(metric: MetricReport, interval: Interval, sign: bool = False) -> str:
    write = signed if sign else figure
    low, high = write(interval.low, metric), write(interval.high, metric)
    return f"{write(interval.value, metric)} ({low} to {high})"


def readable(value: Value) -> list[tuple[str, str]]:
    """A value's fields as text; nested values stay JSON."""
    return [(k, v if isinstance(v, str) else json.dumps(v, ensure_ascii=False)) for k, v in value.items()]


def _write(path: Path, text: str) -> Path:
    write_atomic(path, text)
    return path
