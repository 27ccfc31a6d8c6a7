"""`metier adapt`: adapt a base to a task, or a trade's tasks, on samples; it writes a fine-tune's folder."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metier.contracts import UsageError
from metier.terminal.options import Bad, BaseName, Columns, DataFile, Json, Set, pairs
from metier.terminal.progress import progress, training_tick
from metier.terminal.screen import emit_json, note, say

if TYPE_CHECKING:
    from metier.contracts import Sample


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
        int | None, typer.Option(min=1, help="Train on this many samples of a task; all by default.")
    ] = None,
    held_out: Annotated[
        int | None, typer.Option(min=1, help="Distinct inputs of --data to keep apart and measure on.  [default: 60]")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of choice, split and training; the recipe's own.")] = None,
    recipe: Annotated[
        Path | None, typer.Option(metavar="YAML", help="Recipe; by default the trade's own for the task.")
    ] = None,
    set: Set = None,
    base: BaseName = None,
    columns: Columns = None,
    on_bad: Bad = "raise",
    scrub: Annotated[
        bool,
        typer.Option(
            "--scrub",
            help="Replace personal data in the samples by its kind, such as [email]; names and addresses have no form "
            "and stay.",
        ),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Continue from the run's checkpoint, or start over.")
    ] = True,
    watch: Annotated[
        int,
        typer.Option(
            min=0, metavar="INPUTS", help="Generate answers to this many held-out inputs of a task at every evaluation."
        ),
    ] = 0,
    json: Json = False,
) -> None:
    """Adapt a base to a task, or to several of a trade. Without --data, it trains on the trade's packaged samples."""
    from metier.adapt import adapt as adapt_base
    from metier.adapt.methods import is_live, method_of
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
            remedy="leave out --data and --held-out, name one task, or call metier.adapt.adapt with samples of each",
        )
    overrides = [*(set or []), *([f"base={base}"] if base else []), *([f"seed={seed}"] if seed is not None else [])]
    chosen = recipe_for(vertical, vertical.name if several else contracts[0].name, recipe, overrides)
    if watch and not (method_of(chosen).generates and is_live(chosen)):
        raise UsageError(
            "--watch generates answers with the LoRA in training, and this recipe trains none",
            remedy="leave --watch out, or set produces: text and method: lora",
        )
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
        train, kept_apart = found.train, found.held_out
        if scrub:
            train, kept_apart, replaced = _scrubbed(train, kept_apart)
            note(f"{replaced} pieces of personal data were replaced by their kind")
        tick("loading the base")
        local = resolve(chosen.base, sources=tuple(registry.base_sources.values()))
        with ExitStack() as stack:
            callback = None
            if watch:
                from metier.align import EvalCallback  # an extra of this command: adaptation itself does not need it

                tick("exporting the graph that generates during training")
                watching = EvalCallback(local, contracts, kept_apart, vertical.checks_for, inputs=watch)
                callback = stack.enter_context(watching)
            finetune = adapt_base(
                contracts,
                train,
                kept_apart,
                chosen,
                out,
                base=local,
                resume=resume,
                progress=training_tick(tick),
                watch=callback,
            )
    if json:
        return emit_json(finetune)
    samples, figures = finetune.card.data.samples, finetune.card.training
    say(f"{finetune.path}: {samples} samples, {figures['steps']:.0f} steps, {figures['seconds']:.0f} s")
    return say(f"next: metier evaluate {out}, then metier export {out} --out {out}-bundle")


def _scrubbed(train: list[Sample], held_out: list[Sample]) -> tuple[list[Sample], list[Sample], int]:
    """Both sets without personal data, and how many pieces were replaced."""
    from metier.data.pii import scrub_sample

    count = 0
    clean: list[list[Sample]] = []
    for part in (train, held_out):
        pairs_of_part = [scrub_sample(sample) for sample in part]
        clean.append([sample for sample, _ in pairs_of_part])
        count += sum(len(found) for _, found in pairs_of_part)
    return clean[0], clean[1], count
