"""`metier evaluate`: what an adaptation gained, on inputs it was not trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metier.cli.before_after import before_after
from metier.cli.options import Bad, Columns, DataFile, Json, Seed, pairs
from metier.cli.progress import progress
from metier.cli.screen import emit_json, say


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder that `metier adapt` wrote.")],
    data: DataFile = None,
    columns: Columns = None,
    on_bad: Bad = "raise",
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Report to write.  [default: RUN/report.html]")
    ] = None,
    bundle: Annotated[Path | None, typer.Option(help="Measure this exported bundle as well.")] = None,
    few_shot: Annotated[int, typer.Option(min=0, help="Worked samples shown to the base; 0 leaves that out.")] = 4,
    limit: Annotated[
        int | None, typer.Option(min=1, envvar="METIER_LIMIT", help="Measure on this many inputs only.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Measure base against fine-tune, as an HTML report. On the run's held-out inputs, or on a file."""
    from metier.bases import load_finetune, resolve
    from metier.data.training import first_inputs, held_out_of, samples_of, train_of
    from metier.evaluate import evaluate as measure
    from metier.evaluate import record_metrics, write_html, write_json
    from metier.plugins import load_plugins

    registry = load_plugins()
    finetune = load_finetune(run)
    task = finetune.card.tasks[0]
    vertical = registry.verticals.get(task.vertical)
    with progress(json) as tick:
        tick("reading samples")
        if data is None:
            samples = held_out_of(run)
        else:
            samples = samples_of(vertical, task, data, columns=pairs(columns, "--columns"), on_bad=on_bad)
        evaluation = measure(
            task,
            first_inputs(samples, limit) if limit else samples,
            base=resolve(finetune.card.base.id, revision=finetune.card.base.revision, progress=tick),
            finetune=finetune,
            bundle=bundle,
            few_shot=few_shot,
            train=train_of(run),
            checks=vertical.checks_for(task.name) if vertical else (),
            seed=seed,
            device=device,
            progress=tick,
        )
    if data is None and not limit:
        record_metrics(finetune, evaluation)
    page = html or run / "report.html"
    write_json(evaluation, page.with_suffix(".json"))
    write_html(evaluation, page)
    if json:
        return emit_json(evaluation)
    before_after(evaluation)
    return say(f"report: {page}")
