"""`metier feedback`: the store of answers and what users did with them, and the training data it gives. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from metier.contracts import UsageError
from metier.terminal.options import Json, Task
from metier.terminal.screen import emit_json, say, table

if TYPE_CHECKING:
    from metier.feedback import Erased, FeedbackStore
    from metier.iterate import Registry

app = typer.Typer(help="Feedback: count, export, import, collect, erase.", no_args_is_help=True)

StoreFile = Annotated[Path, typer.Argument(metavar="STORE", help="The feedback store, an SQLite file.")]
OneTask = Annotated[str | None, typer.Option("--task", help="Only of this task.")]
Form = Literal["jsonl", "label-studio"]
RegistryOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="Delete it from this registry's files too, and list the versions trained on it."
    ),
]


@app.command()
def show(store: StoreFile, task: OneTask = None, json: Json = False) -> None:
    """How many answers the store holds, and how many events of each kind."""
    with open_store(store) as opened:
        counts = opened.counts(task)
    if json:
        return emit_json(counts)
    return table(("", "rows"), counts.items())


@app.command("export")
def export_(
    store: StoreFile,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Written completely or not at all.")],
    to: Annotated[Form, typer.Option("--to", help="JSON lines, or tasks to import into Label Studio.")] = "jsonl",
    task: OneTask = None,
    json: Json = False,
) -> None:
    """Write answers and events to a file."""
    from metier.feedback.exchange import export_jsonl
    from metier.feedback.label_studio import LABELING_CONFIG, export_label_studio

    with open_store(store) as opened:
        count = (export_jsonl if to == "jsonl" else export_label_studio)(opened, file, task)
    if json:
        return emit_json({"answers": count, "labeling_config": LABELING_CONFIG if to == "label-studio" else None})
    say(f"{file}: {count} answers")
    return say(f"labelling config of the project:\n{LABELING_CONFIG}") if to == "label-studio" else None


@app.command("import")
def import_(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="The feedback store; created where missing.")],
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="File of `metier feedback export`, or Label Studio's JSON.")
    ],
    form: Annotated[Form, typer.Option("--from", help="JSON lines, or Label Studio's JSON export.")] = "jsonl",
    json: Json = False,
) -> None:
    """Add a file's answers and events, all or none; rows that are stored already, or were erased, are skipped."""
    from metier.feedback import FeedbackStore
    from metier.feedback.exchange import import_jsonl
    from metier.feedback.label_studio import import_label_studio

    with FeedbackStore(store) as opened:
        imported = (import_jsonl if form == "jsonl" else import_label_studio)(opened, file)
    if json:
        return emit_json(imported._asdict())
    skipped = f"; {imported.known} rows were stored already" if imported.known else ""
    skipped += f"; {imported.erased} rows were erased here and are not imported" if imported.erased else ""
    return say(f"{store}: {imported.answers} new answers, {imported.events} new events{skipped}")


@app.command()
def collect(
    store: StoreFile,
    task: Task,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Folder to write.")],
    held_out: Annotated[
        Path | None,
        typer.Option(metavar="JSONL", help="Samples to measure on: events that resemble them are left out."),
    ] = None,
    after: Annotated[int, typer.Option(help="Only events with a larger number.")] = 0,
    json: Json = False,
) -> None:
    """Write the samples, preferences and judged samples that feedback gives, and which events were left out and why."""
    from metier.data.samples_file import read_samples
    from metier.feedback.exchange import write_feedback_data
    from metier.feedback.training_data import collect_feedback
    from metier.plugins import load_plugins

    _, contract = load_plugins().task(task)
    measured_on = list(read_samples(held_out, task=task)) if held_out else []
    with open_store(store) as opened:
        data = collect_feedback(contract, opened.events(task, after=after), measured_on)
    write_feedback_data(data, out)
    if json:
        return emit_json({**data.counts(), "until": data.until, "scrubbed": data.scrubbed})
    table(("", "rows"), data.counts().items())
    for left in data.left_out[:10]:
        say(f"event {left.number}: {left.rule}, {left.reason}")
    return say(f"{out}: samples.jsonl, preferences.jsonl, judged.jsonl, left_out.jsonl; last event {data.until}")


@app.command()
def erase(
    store: StoreFile,
    user: Annotated[str, typer.Option("--user", help="As the product names them.")],
    registry: RegistryOption = None,
    json: Json = False,
) -> None:
    """Delete all answers that a user received and all feedback they gave; the store's bytes are overwritten."""
    with open_store(store) as opened:
        trained = _registry_of(registry, opened)
        _report_erased(opened, opened.erase(user), trained, json)


@app.command()
def sweep(store: StoreFile, registry: RegistryOption = None, json: Json = False) -> None:
    """Delete answers whose time is over, with their feedback."""
    with open_store(store) as opened:
        trained = _registry_of(registry, opened)
        _report_erased(opened, opened.sweep(), trained, json)


def _report_erased(store: FeedbackStore, erased: Erased, registry: Registry | None, json: bool) -> None:
    """Remove everything that was ever erased from the registry too, and print what was deleted."""
    from metier.iterate import erase_from_registry

    if not json:
        say(f"{erased.answers} answers and {erased.events} events were deleted")
    if registry is None:
        return emit_json({"answers": erased.answers, "events": erased.events}) if json else None
    found = erase_from_registry(registry, store.erased_numbers())
    if json:
        samples = {"samples": found.samples, "trained_versions": found.versions}
        return emit_json({"answers": erased.answers, "events": erased.events, **samples})
    discarded = ", and the interrupted iteration was discarded" if found.iteration_discarded else ""
    say(f"{registry.folder}: {found.samples} samples were deleted{discarded}")
    if not found.versions:
        return None
    say(f"the weights of {', '.join(found.versions)} were trained on erased feedback")
    state = registry.state()
    others = [registry.version(name) for name in registry.names() if name not in found.versions]
    clean = [version.name for version in others if version.verdict is None or version.passed]
    if not {state.champion, state.challenger} & {*found.versions}:
        return say("none of them is in use")
    if not clean:
        return say("no version is without it: adapt a new fine-tune, and create a new registry from it")
    return say(f"to use a version without it, run: metier iterate promote {registry.folder} {clean[-1]}")


def _registry_of(path: Path | None, store: FeedbackStore) -> Registry | None:
    """Opened before anything is erased: a wrong name, or another store's registry, stops the command."""
    from metier.iterate import Registry

    if path is None:
        return None
    registry = Registry(path)
    registry.check_store(store)
    return registry


def open_store(path: Path) -> FeedbackStore:
    """Open an existing store; a wrong name does not create one."""
    from metier.feedback import FeedbackStore

    if not path.is_file():
        raise UsageError(
            "there is no feedback store",
            where=str(path),
            remedy="give another name, or create one with metier feedback import",
        )
    return FeedbackStore(path)
