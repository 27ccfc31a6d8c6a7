"""`metier compare`: presets to solve one task, trained and measured on one split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metier.terminal.options import Bad, BaseName, Columns, DataFile, Json, Set, Task, pairs
from metier.terminal.progress import progress
from metier.terminal.screen import emit_json, note, say, table


def compare(
    task: Task,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where each preset's fine-tune goes; made if missing.")],
    presets: Annotated[
        str | None,
        typer.Option(
            help="preset/method[/layers], by comma; head: features, lora, full; text: lora, full [default: six]"
        ),
    ] = None,
    data: DataFile = None,
    samples: Annotated[int | None, typer.Option(min=1, help="Train on this many samples; all by default.")] = None,
    held_out: Annotated[
        int | None, typer.Option(min=1, help="Distinct inputs of --data to keep apart and measure on.  [default: 60]")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of choice, split and training; the recipe's own.")] = None,
    set: Set = None,
    base: BaseName = None,
    columns: Columns = None,
    on_bad: Bad = "raise",
    json: Json = False,
) -> None:
    """Compare presets on one task and one split.

    A preset names what is produced, text or a head; the method; and the layers.
    """
    from metier.bases import resolve
    from metier.contracts.task import HEADED
    from metier.data.training import training_data
    from metier.evaluate import compare as put_side_by_side
    from metier.evaluate.presets import PRESETS
    from metier.evaluate.recipe_comparison import RESULT
    from metier.plugins import load_plugins
    from metier.training import recipe_for

    registry = load_plugins()
    vertical, contract = registry.task(task)
    overrides = [*(set or []), *([f"base={base}"] if base else []), *([f"seed={seed}"] if seed is not None else [])]
    recipe = recipe_for(vertical, task, None, overrides)
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
            seed=recipe.seed,
        )
        for line in found.remarks:
            note(line)
        local = resolve(recipe.base, sources=tuple(registry.base_sources.values()), progress=tick)
        kinds = {"text": local.card.writes, "head": contract.kind in HEADED or not local.card.writes}
        wanted = (
            _joined(presets.split(","))
            if presets
            else [preset for preset in PRESETS if kinds[preset.partition("/")[0]]]
        )
        comparison = put_side_by_side(
            contract, found.train, found.held_out, wanted, recipe, out, base=local, progress=tick
        )
    if json:
        return emit_json(comparison)
    note(f"kept as {out / RESULT}")
    counts = f"{comparison.samples} samples, {comparison.inputs} inputs held out"
    say(f"{comparison.task} on {comparison.base}: {counts}, 95% intervals")
    titles = [metric.title for metric in comparison.metrics]
    return table(
        ("preset", *titles, "training", "an epoch", "an answer", "size"),
        (
            (
                figures.preset,
                *(_interval(metric.values[figures.preset]) for metric in comparison.metrics),
                f"{figures.training_seconds:.0f} s",
                f"{figures.epoch_seconds:.2f} s",
                f"{figures.answer_ms:.0f} ms",
                f"{figures.megabytes:.1f} MB",
            )
            for figures in comparison.presets
        ),
    )


def _joined(presets: list[str]) -> list[str]:
    """Ranges of layers have commas of their own: a part that begins with a number belongs to the preset before it."""
    joined: list[str] = []
    for preset in presets:
        if joined and preset[:1].isdigit():
            joined[-1] += f",{preset}"
        else:
            joined.append(preset.strip())
    return joined


def _interval(value: object) -> str:
    return f"{value.value:.1f} [{value.low:.1f}, {value.high:.1f}]"  # type: ignore[attr-defined]
