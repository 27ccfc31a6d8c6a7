"""An evaluation on the terminal: each metric before and after, with its interval. The HTML report has the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metier.terminal.screen import note, table

if TYPE_CHECKING:
    from metier.evaluate import Evaluation


def before_after(evaluation: Evaluation) -> None:
    """Print metrics by system as `value [low, high]`; for checks also what the reference answers get."""
    systems = evaluation.systems
    rows = []
    for metric in evaluation.metrics:
        figures = [metric.values[system.name] for system in systems]
        references = "" if metric.references is None else f"{metric.references:.1f}"
        rows.append((metric.title, *(f"{f.value:.1f} [{f.low:.1f}, {f.high:.1f}]" for f in figures), references))
    if (drift := evaluation.forgetting) is not None:
        after = "" if drift.after is None else f"{drift.after:.1f}"
        cells = {"base_zero_shot": f"{drift.before:.1f}", "fine_tune": after}
        rows.append(("perplexity on general text", *(cells.get(s.name, "") for s in systems), ""))
    table(
        ("", *(system.title for system in systems), "references"),
        rows,
        title=f"{evaluation.task}: {evaluation.inputs} held-out inputs, {evaluation.confidence:.0%} intervals",
    )
    if (kept := evaluation.base_kept) is not None:
        note(f"perplexity on general text: not measured, {kept}")
    if cut := [f"{system.title}: {system.cut}" for system in systems if system.cut]:
        note(f"answers cut at the task's longest reply: {', '.join(cut)}")
