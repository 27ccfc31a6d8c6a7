"""`metier adapt`: teach a base one task from samples; the result is a fine-tune folder in PEFT's format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metier.cli.options import Bad, BaseName, Columns, DataFile, Json, Set, Task, pairs
from metier.cli.progress import progress, training_tick
from metier.cli.screen import emit_json, note, say


def adapt(
    task: Task,
    out: Annotated[Path, typer.Option("--out", metavar="RUN", help="Folder of the run; made where missing.")],
    data: DataFile = None,
    samples: Annotated[int | None, typer.Option(min=1, help="Train on this many; all where not given.")] = None,
    held_out: Annotated[
        int | None, typer.Option(min=1, help="Distinct inputs of --data to keep apart and measure on.  [default: 60]")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of choice, split and training; the recipe's own.")] = None,
    recipe: Annotated[
        Path | None, typer.Option(metavar="YAML", help="Recipe; the trade's own for the task where not given.")
    ] = None,
    set: Set = None,
    base: BaseName = None,
    columns: Columns = None,
    on_bad: Bad = "raise",
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Go on from the run's checkpoint, or start over.")
    ] = True,
    json: Json = False,
) -> None:
    """Adapt a base to a task. Without --data, on the samples that the trade brings along."""
    from metier.adapt import adapt as adapt_base
    from metier.adapt import recipe_for
    from metier.bases import resolve
    from metier.data.training import training_data
    from metier.plugins import load_plugins

    registry = load_plugins()
    vertical, contract = registry.task(task)
    overrides = [*(set or []), *([f"base={base}"] if base else []), *([f"seed={seed}"] if seed is not None else [])]
    chosen = recipe_for(vertical, task, recipe, overrides)
    with progress(json) as tick:
        tick("reading samples")
        found = training_data(
            vertical,
            contract,
            data,
            columns=pairs(columns, "--columns"),
            on_bad=on_bad,
            samples=samples,
            held_out=held_out,
            seed=chosen.seed,
        )
        for line in found.remarks:
            note(line)
        tick("loading the base")
        local = resolve(chosen.base, sources=tuple(registry.base_sources.values()))
        made = adapt_base(
            contract,
            found.train,
            found.held_out,
            chosen,
            out,
            base=local,
            resume=resume,
            progress=training_tick(tick),
        )
    if json:
        return emit_json(made)
    figures = made.card.training
    say(f"{made.path}: {made.card.data.samples} samples, {figures['steps']:.0f} steps, {figures['seconds']:.0f} s")
    return say(f"next: metier evaluate {out}, then metier export {out} --out {out}-bundle")
