"""`metier iterate`: the loop from users' feedback to better weights: plan, run, try, promote, roll back."""

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
    from metier.iterate import Turn

app = typer.Typer(help="Learn from feedback: plan, run, try, promote, roll back.", no_args_is_help=True)

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
    """Begin a registry with a fine-tune; what that was not trained on is what every version is measured on."""
    from metier.adapt.methods import method_of
    from metier.bases import load_finetune
    from metier.iterate import Registry

    first = load_finetune(run, produces=None)
    made = Registry.create(registry, first)
    if json:
        return emit_json(made.state())
    say(f"{registry}: champion v0001, measured on {len(made.held_out())} held-out samples")
    slots = " --slots" if method_of(first.card.recipe).generates else ""
    return say(f"next: metier export {run}{slots} --out BUNDLE, and serve it; then metier iterate run {registry}")


@app.command()
def status(registry: RegistryFolder, json: Json = False) -> None:
    """Who is champion, who is on trial, and how it came to that."""
    from metier.iterate import Registry
    from metier.iterate.erasure import learnt_erased

    opened = Registry(registry)
    state, erased = opened.state(), learnt_erased(opened)
    if json:
        versions = [opened.version(name) for name in opened.names()]
        return emit_json({"state": state, "versions": versions, "learnt_erased": erased})
    say(f"champion {state.champion}" + (f", {state.challenger} for {state.share:.0%}" if state.challenger else ""))
    for name, events in erased.items():
        say(
            f"{name} learnt from feedback that was erased since, or goes on from weights that did: {len(events)} events"
        )
    rows = ((f"{m.at:%Y-%m-%d %H:%M}", m.what, m.version or "", m.why) for m in state.history)
    return table(("when", "what", "version", "why"), rows)


@app.command()
def run(
    registry: RegistryFolder,
    store: StoreOption,
    bundle: Annotated[Path, typer.Option(help="Bundle that the product serves: with slots, or with heads.")],
    least: Annotated[int, typer.Option(min=1, help="New samples below which the turn waits.")] = 16,
    epochs: Annotated[
        float, typer.Option(min=0.01, help="Over new and replayed samples; a head keeps its recipe's.")
    ] = 2,
    layers: Annotated[
        str | None, typer.Option(help="Layers that go on learning, such as top:10; a head keeps its recipe's.")
    ] = None,
    replay: Annotated[float, typer.Option(min=0, help="Old samples per new one; a head learns all.")] = 1.0,
    share: Annotated[
        float, typer.Option(min=0, max=0.99, help="Share of users that try what passes; 0 makes it champion at once.")
    ] = 0.0,
    gate: Annotated[
        list[str] | None, typer.Option("--gate", metavar="KEY=VALUE", help="A bound, such as max_metric_drop=1.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    json: Json = False,
) -> None:
    """Take one turn: harvest, adapt from the champion, judge, and promote what passes. Interrupted, it goes on."""
    from metier.iterate import Gate, Registry, Settings, turn
    from metier.plugins import load_plugins
    from metier.runtime import Engine

    opened = Registry(registry)
    bounds = _made(Gate, "--gate {}={}", **_bounds(gate or []))
    settings = _made(
        Settings, "--{} {}", least=least, epochs=epochs, layers=layers, replay=replay, share=share, gate=bounds
    )
    vertical = load_plugins().verticals.get(opened.task.vertical)
    checks = vertical.checks_for(opened.task.name) if vertical else ()
    with progress(json) as tick, open_store(store) as feedback, Engine(bundle, device=device) as engine:
        result = turn(opened, feedback, engine, settings=settings, checks=checks, progress=tick)
    return emit_json(result) if json else _told(result)


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
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Day that the rate is of; today unless told.")
    ] = None,
    json: Json = False,
) -> None:
    """How many samples, and days, to the next gain worth shipping; and whether search or feedback brings it."""
    from metier.adapt.methods import method_of
    from metier.bases.finetune import lora_recipe
    from metier.iterate import Registry
    from metier.iterate.curve import fit, measure
    from metier.iterate.plan import plan as planned

    counts, opened = _sizes(sizes), Registry(registry)
    name = opened.state().champion
    pool, held_out, recipe = opened.pool(name), opened.held_out(), lora_recipe(opened.finetune("v0001"))
    with progress(json) as tick, open_store(store) as feedback:
        opened.check_store(feedback)
        points = measure(opened.task, pool, held_out, recipe, counts, seeds, opened.folder / "curve", progress=tick)
        told = feedback.told(opened.task.name)
        known = {"pool": pool, "refused": opened.state().refused, "now": now.replace(tzinfo=UTC) if now else None}
        made = planned(opened.task, fit(points), told, held_out, samples_now=len(pool), gain=gain, **known)
    if json:
        return emit_json(made)
    per = method_of(recipe).loss_unit
    say(f"now: {made.samples_now} samples, {made.loss_now.value:.3f} nats per held-out {per}")
    low, high = made.more_interval
    more = "more than can be said" if made.more is None else f"{made.more} more samples"
    say(f"{gain} nats less: {more} [{_open(low)}, {_open(high)}]")
    say(f"arriving: {made.arrival.per_day.value:.1f} samples a day, over {made.arrival.days} days")
    days = [_open(value) for value in (made.days, *made.days_interval)]
    say(f"due in {days[0]} days [{days[1]}, {days[2]}]")
    return say(f"draw from {made.well}: {made.why}")


@app.command()
def promote(registry: RegistryFolder, version: VersionName, why: Why = "by hand", json: Json = False) -> None:
    """Make a version champion."""
    _moved(registry, lambda opened: opened.promote(version, why), json)


@app.command()
def rollback(registry: RegistryFolder, why: Why = "by hand", json: Json = False) -> None:
    """Make the champion before this one champion again, at once."""
    _moved(registry, lambda opened: opened.rollback(why), json)


@app.command()
def canary(
    registry: RegistryFolder,
    version: VersionName,
    share: Annotated[float, typer.Option(min=0, max=1, help="Of the users.")] = 0.1,
    why: Why = "",
    json: Json = False,
) -> None:
    """Let a share of the users try a version."""
    _moved(registry, lambda opened: opened.canary(version, share, why), json)


@app.command()
def withdraw(registry: RegistryFolder, why: Why = "by hand", json: Json = False) -> None:
    """End the trial; the champion answers everybody."""
    _moved(registry, lambda opened: opened.withdraw(why), json)


@app.command()
def refuse(
    registry: RegistryFolder,
    store: StoreOption,
    first: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="The first day, in UTC.")],
    last: Annotated[
        datetime | None, typer.Option("--until", formats=["%Y-%m-%d"], help="The last day; the first where not given.")
    ] = None,
    why: Why = "by hand",
    json: Json = False,
) -> None:
    """Learn nothing from feedback of some days that waits, such as a bad day's among that of others."""
    from metier.iterate import Registry

    opened = Registry(registry)
    with open_store(store) as feedback:
        events = opened.refuse_days(feedback, first.date(), (last or first).date(), why)
    if json:
        return emit_json({"refused": events})
    return say(f"not learnt from now on: events {', '.join(f'{a} to {b}' for a, b in events)}")


@app.command()
def pardon(registry: RegistryFolder, why: Why = "by hand", json: Json = False) -> None:
    """Lift every refusal: the feedback counts as new again, such as where a bad schedule was to blame."""
    _moved(registry, lambda opened: opened.pardon(why), json)


@app.command()
def compare(registry: RegistryFolder, store: StoreOption, json: Json = False) -> None:
    """Champion and challenger by what their users did with the answers."""
    from metier.iterate import Registry
    from metier.iterate import compare as compared

    opened = Registry(registry)
    state = opened.state()
    if state.challenger is None:
        raise UsageError("there is no challenger", where=str(registry), remedy="begin a trial: metier iterate canary")
    sides = opened.adapter(state.champion), opened.adapter(state.challenger)
    with open_store(store) as feedback:
        opened.check_store(feedback)
        trial = compared(feedback.told(opened.task.name), *sides, since=state.tried_since)
    if json:
        return emit_json(trial)
    for name in sides:
        stood = trial.stood.get(name)
        shown = f"{stood.value:.0%} [{stood.low:.0%}, {stood.high:.0%}]" if stood else "none"
        say(f"{name}: {trial.answers[name]} answers to {trial.users[name]} users, let stand {shown}")
    return say("the difference is sure" if trial.enough else "the difference is not sure yet")


@app.command()
def documents(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of `metier export`.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Markdown and HTML files, searched through.")],
    json: Json = False,
) -> None:
    """Put documents into a bundle, so that answers stand on facts newer than the base; they replace those it had."""
    from metier.export.documents import add_documents

    count = add_documents(bundle, folder)
    return emit_json({"passages": count}) if json else say(f"{bundle}: {count} passages of {folder}")


def _told(result: Turn) -> None:
    if result.taken_up is not None:
        note(f"taken up: {result.taken_up}")
    for rule, count in result.harvest.counts().items():
        note(f"{rule}: {count}")
    for criterion in result.verdict.criteria if result.verdict else ():
        note(f"{criterion.found}: {criterion.name}, {criterion.said}")
    say(f"{result.outcome}{f': {result.version}' if result.version else ''}; champion {result.champion}")
    say(result.why)


def _moved(registry: Path, move: Any, json: bool) -> None:
    from metier.iterate import Registry

    state = move(Registry(registry))
    if json:
        return emit_json(state)
    return say(f"champion {state.champion}" + (f", {state.challenger} on trial" if state.challenger else ""))


def _bounds(given: list[str]) -> dict[str, float]:
    from metier.contracts.nearest import did_you_mean
    from metier.iterate import Gate

    found: dict[str, float] = {}
    for text in given:
        key, _, value = text.partition("=")
        if key not in Gate.model_fields:
            raise UsageError(
                f"--gate: there is no bound {key}{did_you_mean(key, Gate.model_fields)}",
                remedy=f"bounds: {', '.join(Gate.model_fields)}",
            )
        try:
            found[key] = float(value)
        except ValueError as error:
            raise UsageError(f"--gate: {value!r} is no number", remedy=f"write --gate {key}=1.5") from error
    return found


def _made(of: Any, option: str, **given: Any) -> Any:
    """A model of what the options gave; `option` writes one of them with its value.

    Raises:
        UsageError: a value is none that the field takes.
    """
    from pydantic import ValidationError

    try:
        return of(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name, takes, value = str(first["loc"][0]), first["msg"].replace("Input", "it", 1), first["input"]
        shown = f"{value:g}" if isinstance(value, float) else value
        raise UsageError(f"{option.format(name, shown)}: {takes}", remedy="give another value") from error


def _sizes(given: str) -> list[int]:
    sizes = [size.strip() for size in given.split(",")]
    for size in sizes:
        if not size.isdecimal() or int(size) == 0:
            raise UsageError(f"--sizes: {size!r} is no number of samples", remedy="write --sizes 30,60,120")
    return [int(size) for size in sizes]


def _open(value: float | None) -> str:
    return "?" if value is None else f"{value:g}"
