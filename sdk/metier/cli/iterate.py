"""`metier iterate`: the loop from users' feedback to better weights: plan, run, canary, promote, roll back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metier.cli.feedback import open_store
from metier.contracts import UsageError
from metier.terminal.options import Json
from metier.terminal.progress import progress
from metier.terminal.screen import emit_json, note, say, table

if TYPE_CHECKING:
    from metier.iterate import Iteration

app = typer.Typer(help="Train on feedback: plan, run, canary, promote, roll back.", no_args_is_help=True)

RegistryFolder = Annotated[Path, typer.Argument(metavar="REGISTRY", help="Folder of `metier iterate start`.")]
StoreOption = Annotated[Path, typer.Option("--store", metavar="FILE", help="The feedback store.")]
VersionName = Annotated[str, typer.Argument(metavar="VERSION", help="Such as v0002.")]
Why = Annotated[str, typer.Option("--why", help="For the history.")]


@app.command()
def start(
    registry: Annotated[Path, typer.Argument(metavar="REGISTRY", help="New folder.")],
    run: Annotated[
        Path, typer.Option("--from", metavar="RUN", help="Fine-tune of `metier adapt`: the first champion.")
    ],
    json: Json = False,
) -> None:
    """Create a registry from a fine-tune; every version is measured on the fine-tune's held-out samples."""
    from metier.adapt.methods import method_of
    from metier.bases import load_finetune
    from metier.iterate import Registry

    first = load_finetune(run, produces=None)
    created = Registry.create(registry, first)
    if json:
        return emit_json(created.state())
    say(f"{registry}: champion v0001, measured on {len(created.held_out())} held-out samples")
    slots = " --slots" if method_of(first.card.recipe).generates else ""
    return say(f"next: metier export {run}{slots} --out BUNDLE, and serve it; then metier iterate run {registry}")


@app.command()
def status(registry: RegistryFolder, json: Json = False) -> None:
    """The champion, the version on trial, and the history."""
    from metier.iterate import Registry
    from metier.iterate.erasure import trained_on_erased

    opened = Registry(registry)
    state, erased = opened.state(), trained_on_erased(opened)
    if json:
        versions = [opened.version(name) for name in opened.names()]
        return emit_json({"state": state, "versions": versions, "trained_on_erased": erased})
    say(f"champion {state.champion}" + (f", {state.challenger} for {state.share:.0%}" if state.challenger else ""))
    for name, events in erased.items():
        say(f"{name} or its ancestors were trained on feedback that was erased since: {len(events)} events")
    rows = ((f"{e.at:%Y-%m-%d %H:%M}", e.action, e.version or "", e.why) for e in state.history)
    return table(("when", "action", "version", "why"), rows)


@app.command()
def run(
    registry: RegistryFolder,
    store: StoreOption,
    bundle: Annotated[Path, typer.Option(help="Bundle that the product serves: with slots, or with heads.")],
    min_samples: Annotated[int, typer.Option(min=1, help="New samples below which the iteration waits.")] = 16,
    epochs: Annotated[
        float, typer.Option(min=0.01, help="Over new and replayed samples; a head keeps its recipe's.")
    ] = 2,
    layers: Annotated[
        str | None, typer.Option(help="Layers to train, such as top:10; a head keeps its recipe's.")
    ] = None,
    replay: Annotated[float, typer.Option(min=0, help="Old samples per new one; a head trains on all.")] = 1.0,
    share: Annotated[
        float,
        typer.Option(
            min=0, max=0.99, help="Share of users that get a version that passes; 0 makes it champion at once."
        ),
    ] = 0.0,
    gate: Annotated[
        list[str] | None, typer.Option("--gate", metavar="KEY=VALUE", help="A bound, such as max_metric_drop=1.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    json: Json = False,
) -> None:
    """Collect feedback, train from the champion, compare, and promote what passes. It resumes an interrupted run."""
    from metier.iterate import Gate, IterationSettings, Registry, run_iteration
    from metier.plugins import load_plugins
    from metier.runtime import Engine

    opened = Registry(registry)
    bounds = _parsed(Gate, "--gate {}={}", **_bounds(gate or []))
    settings = _parsed(
        IterationSettings,
        "--{} {}",
        min_samples=min_samples,
        epochs=epochs,
        layers=layers,
        replay=replay,
        share=share,
        gate=bounds,
    )
    vertical = load_plugins().verticals.get(opened.task.vertical)
    checks = vertical.checks_for(opened.task.name) if vertical else ()
    with progress(json) as tick, open_store(store) as feedback, Engine(bundle, device=device) as engine:
        result = run_iteration(opened, feedback, engine, settings=settings, checks=checks, progress=tick)
    return emit_json(result) if json else _report(result)


@app.command()
def plan(
    registry: RegistryFolder,
    store: StoreOption,
    sizes: Annotated[str, typer.Option(help="Numbers of samples to train on, at least three.")] = "30,60,120",
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each size.")] = 3,
    gain: Annotated[
        float, typer.Option(min=0.0001, help="Nats per held-out token, or label of a head, worth shipping.")
    ] = 0.03,
    now: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Day that the rate is measured for; today by default.")
    ] = None,
    json: Json = False,
) -> None:
    """Samples and days to the next gain worth shipping, and whether search or feedback brings it."""
    from metier.adapt.methods import method_of
    from metier.bases.finetune import lora_recipe
    from metier.iterate import Registry
    from metier.iterate.curve import fit, measure
    from metier.iterate.plan import plan as plan_iteration

    counts, opened = _sizes(sizes), Registry(registry)
    name = opened.state().champion
    pool, held_out, recipe = opened.pool(name), opened.held_out(), lora_recipe(opened.finetune("v0001"))
    with progress(json) as tick, open_store(store) as feedback:
        opened.check_store(feedback)
        points = measure(opened.task, pool, held_out, recipe, counts, seeds, opened.folder / "curve", progress=tick)
        events = feedback.events(opened.task.name)
        state = {"pool": pool, "rejected": opened.state().rejected, "now": now.replace(tzinfo=UTC) if now else None}
        planned = plan_iteration(opened.task, fit(points), events, held_out, samples_now=len(pool), gain=gain, **state)
    if json:
        return emit_json(planned)
    per = method_of(recipe).loss_unit
    say(f"now: {planned.samples_now} samples, {planned.loss_now.value:.3f} nats per held-out {per}")
    low, high = planned.more_interval
    more = "more than the curve predicts" if planned.more is None else f"{planned.more} more samples"
    say(f"{gain} nats less: {more} [{_number(low)}, {_number(high)}]")
    say(f"arriving: {planned.arrival.per_day.value:.1f} samples a day, over {planned.arrival.days} days")
    days = [_number(value) for value in (planned.days, *planned.days_interval)]
    say(f"due in {days[0]} days [{days[1]}, {days[2]}]")
    return say(f"improve by {planned.improve_by}: {planned.why}")


@app.command()
def promote(registry: RegistryFolder, version: VersionName, why: Why = "by hand", json: Json = False) -> None:
    """Make a version champion."""
    _apply(registry, lambda opened: opened.promote(version, why), json)


@app.command()
def rollback(registry: RegistryFolder, why: Why = "by hand", json: Json = False) -> None:
    """Make the previous champion the champion again."""
    _apply(registry, lambda opened: opened.rollback(why), json)


@app.command()
def canary(
    registry: RegistryFolder,
    version: VersionName,
    share: Annotated[float, typer.Option(min=0, max=1, help="Of the users.")] = 0.1,
    why: Why = "",
    json: Json = False,
) -> None:
    """Give a version to a share of the users."""
    _apply(registry, lambda opened: opened.canary(version, share, why), json)


@app.command()
def withdraw(registry: RegistryFolder, why: Why = "by hand", json: Json = False) -> None:
    """End the trial; the champion answers all users."""
    _apply(registry, lambda opened: opened.withdraw(why), json)


@app.command()
def reject(
    registry: RegistryFolder,
    store: StoreOption,
    first: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="The first day, in UTC.")],
    last: Annotated[
        datetime | None, typer.Option("--until", formats=["%Y-%m-%d"], help="The last day; by default the first.")
    ] = None,
    why: Why = "by hand",
    json: Json = False,
) -> None:
    """Exclude the waiting feedback of some days from training."""
    from metier.iterate import Registry, reject_days

    opened = Registry(registry)
    with open_store(store) as feedback:
        events = reject_days(opened, feedback, first.date(), (last or first).date(), why)
    if json:
        return emit_json({"rejected": events})
    return say(f"excluded from training: events {', '.join(f'{a} to {b}' for a, b in events)}")


@app.command()
def reinstate(registry: RegistryFolder, why: Why = "by hand", json: Json = False) -> None:
    """Make all rejected feedback available again, for example after a bad schedule was the cause."""
    _apply(registry, lambda opened: opened.reinstate(why), json)


@app.command()
def compare(registry: RegistryFolder, store: StoreOption, json: Json = False) -> None:
    """Compare champion and challenger by the feedback on their answers."""
    from metier.iterate import Registry
    from metier.iterate import compare as compare_versions

    opened = Registry(registry)
    state = opened.state()
    if state.challenger is None:
        raise UsageError("there is no challenger", where=str(registry), remedy="start a trial: metier iterate canary")
    sides = opened.adapter(state.champion), opened.adapter(state.challenger)
    with open_store(store) as feedback:
        opened.check_store(feedback)
        trial = compare_versions(feedback.events(opened.task.name), *sides, since=state.trial_since)
    if json:
        return emit_json(trial)
    for name in sides:
        good = trial.good.get(name)
        shown = f"{good.value:.0%} [{good.low:.0%}, {good.high:.0%}] good" if good else "none judged"
        say(f"{name}: {trial.answers[name]} answers to {trial.users[name]} users, {shown}")
    return say("the difference is significant" if trial.significant else "the difference is not significant yet")


@app.command()
def documents(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of `metier export`.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Markdown and HTML files to search.")],
    json: Json = False,
) -> None:
    """Add documents to a bundle, so that answers use facts newer than the base; they replace earlier ones."""
    from metier.export.documents import add_documents

    count = add_documents(bundle, folder)
    return emit_json({"passages": count}) if json else say(f"{bundle}: {count} passages of {folder}")


def _report(result: Iteration) -> None:
    if result.resumed is not None:
        note(f"resumed: {result.resumed}")
    for rule, count in result.feedback.counts().items():
        note(f"{rule}: {count}")
    for criterion in result.verdict.criteria if result.verdict else ():
        note(f"{criterion.result}: {criterion.name}, {criterion.measured}")
    say(f"{result.outcome}{f': {result.version}' if result.version else ''}; champion {result.champion}")
    say(result.why)


def _apply(registry: Path, change: Any, json: bool) -> None:
    from metier.iterate import Registry

    state = change(Registry(registry))
    if json:
        return emit_json(state)
    return say(f"champion {state.champion}" + (f", {state.challenger} on trial" if state.challenger else ""))


def _bounds(options: list[str]) -> dict[str, float]:
    from metier.contracts.nearest import did_you_mean
    from metier.iterate import Gate

    bounds: dict[str, float] = {}
    for text in options:
        key, _, value = text.partition("=")
        if key not in Gate.model_fields:
            raise UsageError(
                f"--gate: there is no bound {key}{did_you_mean(key, Gate.model_fields)}",
                remedy=f"bounds: {', '.join(Gate.model_fields)}",
            )
        try:
            bounds[key] = float(value)
        except ValueError as error:
            raise UsageError(f"--gate: {value!r} is not a number", remedy=f"write --gate {key}=1.5") from error
    return bounds


def _parsed(model: Any, option: str, **values: Any) -> Any:
    """A model of the options' values; `option` formats the name and value of one.

    Raises:
        UsageError: the model does not accept a value.
    """
    from pydantic import ValidationError

    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name, takes, value = str(first["loc"][0]), first["msg"].replace("Input", "it", 1), first["input"]
        shown = f"{value:g}" if isinstance(value, float) else value
        raise UsageError(f"{option.format(name, shown)}: {takes}", remedy="give another value") from error


def _sizes(option: str) -> list[int]:
    sizes = [size.strip() for size in option.split(",")]
    for size in sizes:
        if not size.isdecimal() or int(size) == 0:
            raise UsageError(f"--sizes: {size!r} is not a number of samples", remedy="write --sizes 30,60,120")
    return [int(size) for size in sizes]


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:g}"
