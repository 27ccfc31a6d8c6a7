"""`metier fit`: whether a base can serve a task, before anything is trained."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from metier.contracts.licence import Use
from metier.terminal.options import BaseName, Columns, DataFile, Json, Task, pairs
from metier.terminal.screen import emit_json, say, table


def fit(
    task: Task,
    base: BaseName = None,
    data: DataFile = None,
    columns: Columns = None,
    use: Annotated[Use, typer.Option(help="What the product is for, against the licences.")] = "commercial",
    facts_until: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day up to which answers need facts.")
    ] = None,
    search: Annotated[bool, typer.Option("--search", help="The product looks facts up for each input.")] = False,
    json: Json = False,
) -> None:
    """Report whether a base fits a task.

    Modalities, languages, context, licence and knowledge; exit 0 whatever the verdict.
    """
    from metier.bases import DEFAULT_BASE, show_base
    from metier.contracts.fit import fit as judge
    from metier.plugins import load_plugins

    registry = load_plugins()
    vertical, contract = registry.task(task)
    recipe = vertical.recipes.get(task)
    name = base or (recipe.base if recipe else DEFAULT_BASE)
    sources = tuple(registry.base_sources.values())
    lengths = None
    if data is not None or task in vertical.samples:
        from metier.bases import resolve
        from metier.data.lengths import token_lengths
        from metier.data.training import samples_of

        local = resolve(name, sources=sources)
        card = local.card
        samples = samples_of(vertical, contract, data, columns=pairs(columns, "--columns"))
        if card.writes:
            lengths = token_lengths(local.path, contract, samples)
    else:
        card = show_base(name, sources=sources).card
    report = judge(
        contract,
        card,
        registry.bridges.values(),
        token_lengths=lengths,
        samples_licence=vertical.samples[task].licence if data is None and task in vertical.samples else None,
        use=use,
        facts_until=facts_until.date() if facts_until else None,
        search=search,
    )
    if json:
        return emit_json(report)
    say(f"{report.task} on {report.base}, {report.use} use: {report.verdict}")
    return table(
        ("aspect", "verdict", "reason", "remedy"),
        ((f.aspect, f.verdict, f.reason, f.remedy) for f in report.findings),
    )
