"""`metier evaluate`: the gain of an adaptation, task by task, on held-out inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from metier.contracts import UsageError
from metier.terminal.before_after import before_after
from metier.terminal.options import Bad, Columns, DataFile, Json, Seed, pairs, tasks_of
from metier.terminal.progress import progress
from metier.terminal.screen import emit_json, say


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder that `metier adapt` wrote.")],
    task: Annotated[
        list[str] | None, typer.Option("--task", help="Measure this task only.  [default: all tasks of the run]")
    ] = None,
    data: DataFile = None,
    columns: Columns = None,
    on_bad: Bad = "raise",
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Report to write; with several tasks, one FILE-TASK each.  [default: RUN/report.html]"
        ),
    ] = None,
    bundle: Annotated[Path | None, typer.Option(help="Measure this exported bundle as well.")] = None,
    runtime: Annotated[
        Literal["torch", "onnx"],
        typer.Option(
            help="What answers: torch, and the bundle beside it; or onnx, the bundle alone, which on CPU takes a "
            "fraction of the time. onnx needs --bundle, one with LoRA slots that has the fine-tune."
        ),
    ] = "torch",
    few_shot: Annotated[int, typer.Option(min=0, help="Worked samples shown to the base; 0 leaves that out.")] = 4,
    limit: Annotated[
        int | None, typer.Option(min=1, envvar="METIER_LIMIT", help="Measure on this many inputs only.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Compare base and fine-tune, as an HTML report. On the run's held-out inputs, or on a file."""
    from metier.bases import load_finetune, resolve
    from metier.data.training import first_inputs, held_out_of, samples_of, train_of
    from metier.evaluate import EvaluationOptions, record_metrics, write_html, write_json
    from metier.evaluate import evaluate as measure
    from metier.plugins import load_plugins

    registry = load_plugins()
    finetune = load_finetune(run, produces=None)
    contracts = tasks_of(finetune, task)
    if data is not None and len(contracts) > 1:
        raise UsageError(f"{data} cannot contain samples of {len(contracts)} tasks", remedy="select one with --task")
    evaluations = []
    for contract in contracts:
        vertical = registry.verticals.get(contract.vertical)
        with progress(json) as tick:
            tick("reading samples")
            if data is None:
                samples = [sample for sample in held_out_of(run) if sample.task == contract.name]
            else:
                samples = samples_of(vertical, contract, data, columns=pairs(columns, "--columns"), on_bad=on_bad)
            base = resolve(finetune.card.base.id, revision=finetune.card.base.revision, progress=tick)
            evaluation = measure(
                contract,
                first_inputs(samples, limit) if limit else samples,
                base=base,
                finetune=finetune,
                bundle=bundle,
                train=train_of(run),
                checks=vertical.checks_for(contract.name) if vertical else (),
                options=EvaluationOptions(few_shot=few_shot, seed=seed, device=device, runtime=runtime),
                progress=tick,
            )
        page = html or run / "report.html"
        if len(finetune.card.tasks) > 1:
            page = page.with_stem(f"{page.stem}-{contract.name.partition('.')[2]}")
        write_html(evaluation, page)  # first: a card with figures then always has a page
        write_json(evaluation, page.with_suffix(".json"))
        if data is None and not limit:  # last: the card never has figures that the report lacks
            finetune = record_metrics(finetune, evaluation)
        evaluations.append(evaluation)
        if not json:
            before_after(evaluation)
            say(f"report: {page}")
    if json:
        emit_json(evaluations[0] if len(finetune.card.tasks) == 1 else evaluations)
