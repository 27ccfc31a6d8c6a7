"""Draws an evaluation as SVG with the colours and fonts of the surrounding page, readable in light and dark mode."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from metier.metrics.results import (
    BASE_FEW_SHOT,
    BASE_ZERO_SHOT,
    BUNDLE,
    FINE_TUNE,
    MOST_FREQUENT,
    Evaluation,
    LossPoint,
    MetricReport,
)

INK, FAINT = "#010203", "#040506"
_SYSTEMS = {
    BASE_ZERO_SHOT: "#0a0b01",
    BASE_FEW_SHOT: "#0a0b02",
    FINE_TUNE: "#0a0b03",
    BUNDLE: "#0a0b04",
    MOST_FREQUENT: "#0a0b05",
}
_VARIABLES = {INK: "--ink", FAINT: "--line"} | {c: f"--{name.replace('_', '-')}" for name, c in _SYSTEMS.items()}
"""Stand-in colours → the page's CSS variables."""

_STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}


def metrics_svg(evaluation: Evaluation, metrics: Sequence[MetricReport]) -> str:
    """One panel per metric, one point with its interval per system; a dashed line is the references' value."""
    titles = {s.name: s.title for s in evaluation.systems}
    columns = min(3, len(metrics))
    rows = -(-len(metrics) // columns)
    height = 0.62 + 0.34 * len(titles)
    with _style() as plt:
        figure, axes = plt.subplots(rows, columns, figsize=(10, rows * height + 0.1), squeeze=False, sharey=True)
        for place, axis in enumerate(axes.flat):
            if place >= len(metrics):
                axis.set_visible(False)
                continue
            _panel(axis, metrics[place], titles)
        figure.tight_layout(h_pad=1.2, w_pad=1.6)
        return _svg(figure, "metrics" + metrics[0].kind)


def _panel(axis: Any, metric: MetricReport, titles: dict[str, str]) -> None:
    for y, name in enumerate(titles):
        figure, colour = metric.values[name], _SYSTEMS[name]
        axis.plot(
            [figure.low, figure.high],
            [y, y],
            color=colour,
            linewidth=5,
            alpha=0.35,
            solid_capstyle="round",
            clip_on=False,
        )
        axis.plot(figure.value, y, "o", color=colour, markersize=8, clip_on=False)
    if metric.references is not None:
        axis.axvline(metric.references, color=INK, linestyle=(0, (2, 2)), linewidth=1)
    axis.set_title(metric.title if metric.higher_is_better else f"{metric.title} ↓")
    axis.set_yticks(range(len(titles)), titles.values())
    axis.set_ylim(len(titles) - 0.4, -0.6)
    top = max([figure.high for figure in metric.values.values()] + [metric.references or 0])
    axis.set_xlim(0, 103 if metric.unit == "percent" else top * 1.1 or 1)
    axis.tick_params(length=0)
    axis.grid(axis="y", visible=False)
    axis.spines["left"].set_visible(False)


def loss_svg(evaluation: Evaluation) -> str | None:
    """Training and held-out loss by step; None where there is no log."""
    train, held_out = evaluation.training.train, evaluation.training.held_out
    if not train and not held_out:
        return None
    with _style() as plt:
        figure, axis = plt.subplots(figsize=(10, 3))
        if train:
            axis.plot(*_xy(train), color=_SYSTEMS[BASE_ZERO_SHOT], linewidth=1, alpha=0.55)
            axis.plot(*_smooth(train), color=_SYSTEMS[BASE_ZERO_SHOT], linewidth=2, label="training (smoothed)")
        if held_out:
            axis.plot(*_xy(held_out), "o-", color=_SYSTEMS[FINE_TUNE], linewidth=2, label="held out")
        axis.set_xlabel("optimiser step")
        axis.set_ylabel("loss per reply token, nats")
        axis.set_ylim(bottom=0)
        axis.tick_params(length=0)
        axis.legend(loc="upper right")
        figure.tight_layout()
        return _svg(figure, "loss")


def _xy(points: Sequence[LossPoint]) -> tuple[list[int], list[float]]:
    return [p.step for p in points], [p.loss for p in points]


def _smooth(points: Sequence[LossPoint]) -> tuple[list[int], list[float]]:
    """Centred running mean over a tenth of the run."""
    steps, losses = _xy(points)
    half = max(1, len(points) // 20)
    windows = [losses[max(0, i - half) : i + half + 1] for i in range(len(losses))]
    return steps, [sum(w) / len(w) for w in windows]


@contextmanager
def _style() -> Iterator[Any]:
    """matplotlib's pyplot without a display, in the report's style; figures are closed at the end."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Gg]lyph")  # text is drawn by the browser, in its own fonts
        yield plt
        plt.close("all")


def _svg(figure: Any, salt: str) -> str:
    """The figure as an `<svg>` element: no size of its own, no namespaces, no URL, colours as CSS variables."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": salt}):
        figure.savefig(buffer, format="svg", transparent=True)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r'(<svg[^>]*?)\s(?:width|height)="[^"]*"', r"\1", text)
    text = re.sub(r'(<svg[^>]*?)\s(?:width|height)="[^"]*"', r"\1", text)
    text = re.sub(r"font:([^;\"]*?)(?:px|pt) [^;\"]*", r"font:\1px var(--font)", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    return text
