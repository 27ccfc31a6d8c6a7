"""`metier feedback`: what users did with answers, in and out of the store, and what can be learnt from it. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from metier.cli.options import Json, Task
from metier.cli.screen import emit_json, say, table
from metier.contracts import UsageError

app = typer.Typer(help="Feedback: count, export, import, harvest, erase.", no_args_is_help=True)

StoreFile = Annotated[Path, typer.Argument(metavar="STORE", help="The feedback store, an SQLite file.")]
OneTask = Annotated[str | None, typer.Option("--task", help="Of this task only.")]
Form = Literal["jsonl", "label-studio"]


@app.command()
def show(store: StoreFile, task: OneTask = None, json: Json = False) -> None:
    """How many answers the store holds, and how many events of each kind."""
    with _opened(store) as opened:
        counts = opened.counts(task)
    if json:
        return emit_json(counts)
    return table(("", "rows"), counts.items())


@app.command("export")
def export_(
    store: StoreFile,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Written whole or not at all.")],
    to: Annotated[Form, typer.Option("--to", help="JSON lines, or tasks to import into Label Studio.")] = "jsonl",
    task: OneTask = None,
    json: Json = False,
) -> None:
    """Write answers and events to a file."""
    from metier.iterate.exchange import export_jsonl
    from metier.iterate.label_studio import LABELING_CONFIG, export_label_studio

    with _opened(store) as opened:
        count = (export_jsonl if to == "jsonl" else export_label_studio)(opened, file, task)
    if json:
        return emit_json({"answers": count, "labeling_config": LABELING_CONFIG if to == "label-studio" else None})
    say(f"{file}: {count} answers")
    return say(f"labelling config of the project:\n{LABELING_CONFIG}") if to == "label-studio" else None


@app.command("import")
def import_(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="The feedback store; made where missing.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What export wrote, or Label Studio's JSON.")],
    form: Annotated[Form, typer.Option("--from", help="JSON lines, or Label Studio's JSON export.")] = "jsonl",
    json: Json = False,
) -> None:
    """Add a file's answers and events, all or none; what is there already is passed over."""
    from metier.iterate import FeedbackStore
    from metier.iterate.exchange import import_jsonl
    from metier.iterate.label_studio import import_label_studio

    with FeedbackStore(store) as opened:
        count = (import_jsonl if form == "jsonl" else import_label_studio)(opened, file)
    what = "answers read" if form == "jsonl" else "new events"
    return emit_json({what.replace(" ", "_"): count}) if json else say(f"{store}: {count} {what}")


@app.command()
def harvest(
    store: StoreFile,
    task: Task,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the files go.")],
    held_out: Annotated[
        Path | None, typer.Option(metavar="JSONL", help="Samples to measure on: nothing like them is harvested.")
    ] = None,
    after: Annotated[int, typer.Option(help="Only events with a larger number.")] = 0,
    json: Json = False,
) -> None:
    """Make samples, preferences and judged answers of the feedback, and say what was left out and why."""
    from metier.data.samples_file import read_samples
    from metier.iterate.exchange import write_harvest
    from metier.iterate.harvest import harvest as made_of
    from metier.plugins import load_plugins

    _, contract = load_plugins().task(task)
    apart = list(read_samples(held_out, task=task)) if held_out else []
    with _opened(store) as opened:
        found = made_of(contract, opened.told(task, after=after), apart)
    write_harvest(found, out)
    if json:
        return emit_json({**found.counts(), "until": found.until, "scrubbed": found.scrubbed})
    table(("", "rows"), found.counts().items())
    for left in found.left_out[:10]:
        say(f"event {left.number}: {left.rule}, {left.reason}")
    return say(f"{out}: samples.jsonl, preferences.jsonl, judged.jsonl, left_out.jsonl; last event {found.until}")


@app.command()
def erase(
    store: StoreFile,
    user: Annotated[str, typer.Option("--user", help="As the product names them.")],
    registry: Annotated[
        Path | None, typer.Option(help="Say which versions of this registry learnt from what is erased.")
    ] = None,
    json: Json = False,
) -> None:
    """Delete all that a user was told and did; the bytes are overwritten."""
    from metier.iterate import Registry

    with _opened(store) as opened:
        erased = opened.erase(user)
    versions = Registry(registry).learnt_from(erased.numbers) if registry else []
    if json:
        return emit_json({"answers": erased.answers, "events": erased.events, "learnt_from": versions})
    say(f"{erased.answers} answers and {erased.events} events are gone")
    return say(f"trained on them: {', '.join(versions)}; retire those versions") if versions else None


@app.command()
def sweep(store: StoreFile, json: Json = False) -> None:
    """Delete what is past the time it was to be kept."""
    with _opened(store) as opened:
        erased = opened.sweep()
    if json:
        return emit_json({"answers": erased.answers, "events": erased.events})
    return say(f"{erased.answers} answers and {erased.events} events are gone")


def _opened(path: Path):  # type: ignore[no-untyped-def]
    from metier.iterate import FeedbackStore

    if not path.is_file():
        raise UsageError(
            "there is no feedback store", where=str(path), remedy="import into one, or let an engine write"
        )
    return FeedbackStore(path)
