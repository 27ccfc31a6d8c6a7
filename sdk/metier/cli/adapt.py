"""`metier adapt`: teach a base a task, or a trade's tasks, from samples; the result is a folder in PEFT's format."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from metier.contracts import FineTune, UsageError
from metier.terminal.options import Bad, BaseName, Columns, DataFile, Json, Set, pairs
from metier.terminal.progress import progress, training_tick
from metier.terminal.screen import emit_json, note, say


def adapt(
    tasks: Annotated[
        list[str],
        typer.Argument(
            metavar="TASK…",
            help="Full name of a task, such as adcopy.describe; several, or a trade, share one adapter.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="RUN", help="Folder of the run; made where missing.")],
    data: DataFile = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Train on this many of a task; all where not given.")
    ] = None,
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
    watch: Annotated[
        int,
        typer.Option(min=0, metavar="INPUTS", help="Held-out inputs of a task to answer at every evaluation."),
    ] = 0,
    json: Json = False,
) -> None:
    """Adapt a base to a task, or to several of a trade. Without --data, on the samples that the trade brings along."""
    from metier.adapt import adapt as adapt_base
    from metier.align import EvalCallback
    from metier.bases import resolve
    from metier.data.training import packaged_data, training_data
    from metier.plugins import load_plugins
    from metier.training import recipe_for

    registry = load_plugins()
    found_tasks = [registry.tasks(name) for name in tasks]
    vertical = found_tasks[0][0]
    contracts = list({task.name: task for _, group in found_tasks for task in group}.values())
    several = len(contracts) > 1
    if foreign := next((other.name for other, _ in found_tasks if other.name != vertical.name), None):
        raise UsageError(
            f"the tasks are of two trades, {vertical.name} and {foreign}", remedy="adapt each trade on its own"
        )
    if several and (data is not None or held_out is not None):
        raise UsageError(
            f"one file cannot hold samples of {len(contracts)} tasks",
            remedy="leave --data and --held-out out, name one task, or call metier.adapt.adapt with samples of each",
        )
    overrides = [*(set or []), *([f"base={base}"] if base else []), *([f"seed={seed}"] if seed is not None else [])]
    chosen = recipe_for(vertical, vertical.name if several else contracts[0].name, recipe, overrides)
    teach: Callable[..., FineTune] = adapt_base
    if chosen.produces == "head":
        from metier.heads.train import adapt_head

        teach = adapt_head
    with progress(json) as tick:
        tick("reading samples")
        if several:
            found = packaged_data(vertical, contracts, samples=samples, seed=chosen.seed)
        else:
            found = training_data(
                vertical,
                contracts[0],
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
        with ExitStack() as stack:
            if watch:
                if chosen.produces == "head" or chosen.method != "lora":
                    raise UsageError(
                        "--watch answers with the LoRA of the moment, and this recipe trains none",
                        remedy="leave it out, or say produces: text and method: lora",
                    )
                tick("making the graph that answers while it learns")
                watching = EvalCallback(local, contracts, found.held_out, vertical.checks_for, inputs=watch)
                teach = partial(teach, watch=stack.enter_context(watching))
            made = teach(
                contracts,
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
