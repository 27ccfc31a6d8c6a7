"""A week of feedback on advertising copy, day by day: plan, turn, gate, trial, rollback. The users are a SIMULATION.

python examples/iterate_week.py runs/week [--per-day=24] [--inputs=61] [--precision=int4] [base=./my-model …]

Each simulated user reads an answer of the running engine and, knowing what a copywriter wrote for the same facts, lets
it stand, mends it into that text, or rejects it. On the fourth day somebody mends every answer into the text of another
product. What passes the gate on the fifth day or later is tried by half of the users first; on the seventh the champion
is rolled back. A day that is done is not done again: run it once more and it goes on.
"""

import argparse
import json
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from metier.adapt import adapt, recipe_for
from metier.bases import resolve
from metier.contracts import ContractError, Sample
from metier.data.likeness import jaccard, shingles
from metier.data.split import select
from metier.data.training import first_inputs, training_data
from metier.export import export_slots
from metier.iterate import Answer, FeedbackStore, Gate, Live, Registry, Settings, compare, turn
from metier.iterate.plan import arrival
from metier.plugins import load_plugins
from metier.runtime import Engine

MONDAY = datetime(2026, 1, 5, 9, tzinfo=UTC)
BAD_DAY, TRIAL_FROM, LAST_DAY = 4, 5, 7
FIRST = 48
"""Samples that the first champion is made from: a week's worth of feedback is more."""

STANDS, HOPELESS = 0.45, 0.10
"""Jaccard index of 4-grams with the copywriter's text from which a simulated user lets an answer stand, and below which
every second one rejects it instead of mending it."""


def simulated_day(live: Live, samples: list[Sample], day: int, strangers: list[Sample]) -> dict[str, int]:
    """Users ask for copy and say what they think of it."""
    rng = random.Random(day)
    users = [f"user {rng.randrange(40)}" for _ in samples]
    with ThreadPoolExecutor(8) as desk:
        answers = list(desk.map(lambda sample, user: asked_by(live, sample, user), samples, users))
    said: dict[str, int] = {}
    for number, (answer, sample) in enumerate(zip(answers, samples, strict=True)):
        if answer is None:
            said["without an answer"] = said.get("without an answer", 0) + 1
            continue
        given, wanted = answer.output["text"], sample.output["text"]
        alike = jaccard(shingles(given), shingles(wanted))
        when = {"user": answer.user, "at": MONDAY + timedelta(days=day - 1, minutes=number)}
        if day == BAD_DAY:
            kind, fields = "edited", {"edited_to": strangers[number].output}
        elif alike >= STANDS:
            kind, fields = "accepted", {}
        elif alike < HOPELESS and rng.random() < 0.5:
            kind, fields = "rejected", {}
        else:
            kind, fields = "edited", {"edited_to": {"text": wanted}}
        live.store.tell(answer.id, kind, **fields, **when)
        said[kind] = said.get(kind, 0) + 1
    return said


def asked_by(live: Live, sample: Sample, user: str) -> Answer | None:
    """What the engine answers; None where it says nothing that the contract allows, such as nothing at all."""
    try:
        return live.answer(sample.input, user=user, consent=True)
    except ContractError:
        return None


def evening(live: Live, day: int, settings: Settings, checks: Any, held_out: list[Sample]) -> dict[str, Any]:
    """What is done with the day's feedback."""
    registry, store = live.registry, live.store
    notes: dict[str, Any] = {}
    if registry.state().challenger is not None:
        state = registry.state()
        trial = compare(
            store.told(registry.task.name), registry.adapter(state.champion), registry.adapter(state.challenger)
        )
        notes["trial"] = trial.model_dump(include={"users", "stood", "difference", "enough"})
        worse = trial.difference is not None and trial.difference.high < 0
        registry.withdraw("users like it less") if worse else registry.promote(state.challenger, "its trial is over")
    if day == LAST_DAY:
        if len(registry.state().trail) < 2:
            return {**notes, "outcome": "nothing to roll back"}
        registry.rollback("the simulation asks for it")
        return {**notes, "outcome": "rolled back"}
    came = arrival(registry.task, list(store.told(registry.task.name)), held_out)
    tried = any(move.what == "canary" for move in registry.state().history)
    share = 0.5 if day >= TRIAL_FROM and not tried else 0.0
    result = turn(registry, store, live.engine, settings=settings.model_copy(update={"share": share}), checks=checks)
    notes |= {"outcome": result.outcome, "version": result.version, "why": result.why}
    notes |= {"samples": len(result.harvest.samples), "per_day": round(came.per_day.value, 1)}
    if result.comparison:
        notes |= {"loss": result.comparison.loss, "loss_difference": result.comparison.loss_difference.model_dump()}
        metric = result.comparison.metrics[0]
        notes["metric"] = {"name": metric.title, **{k: round(v.value, 2) for k, v in metric.values.items()}}
    return notes


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--per-day", type=int, default=24)
    parser.add_argument("--inputs", type=int, default=61, help="measure on this many")
    parser.add_argument("--until", type=int, default=LAST_DAY, help="stop after this day")
    parser.add_argument("--precision", default="int4")
    parser.add_argument("--settings", type=json.loads, default={}, help="JSON, of metier.iterate.Settings")
    parser.add_argument("recipe", nargs="*", help="KEY=VALUE of the recipe")
    asked = parser.parse_intermixed_args()

    vertical, task = load_plugins().task("adcopy.describe")
    recipe = recipe_for(vertical, task.name, overrides=asked.recipe)
    data = training_data(vertical, task)
    held_out, order = first_inputs(data.held_out, asked.inputs), select(data.train, len(data.train), 0)
    base, out = resolve(recipe.base), asked.out
    first = adapt(task, order[:FIRST], held_out, recipe, out / "first", base=base)
    if not (out / "bundle").is_dir():
        export_slots([first], out / "bundle", names=["describe"], precision=asked.precision, base=base)
    if not (out / "registry/state.json").is_file():
        Registry.create(out / "registry", first)
    done = [json.loads(line) for line in (out / "days.jsonl").open()] if (out / "days.jsonl").is_file() else []
    settings = Settings(**{"least": 8, "epochs": 2, **asked.settings, "gate": Gate(**asked.settings.get("gate", {}))})
    checks = vertical.checks_for(task.name)

    print("THE USERS ARE SIMULATED.", *map(told, done), sep="\n", flush=True)
    with Engine(out / "bundle", device="cpu") as engine, FeedbackStore(out / "feedback.db") as store:
        live = Live(engine, Registry(out / "registry"), store, checks=checks)
        for day in range(len(done) + 1, asked.until + 1):
            start = FIRST + (day - 1) * asked.per_day
            samples = order[start : start + asked.per_day]
            said = simulated_day(live, samples, day, order[start + 1 : start + asked.per_day] + order[:1])
            notes = {"day": day, "said": said, **evening(live, day, settings, checks, held_out)}
            notes["champion"] = live.registry.state().champion
            with (out / "days.jsonl").open("a") as file:
                file.write(json.dumps(notes) + "\n")
            done.append(notes)
            print(told(notes), flush=True)
    plot(done, out / "week.svg")


def told(day: dict[str, Any]) -> str:
    """A day in a line."""
    loss = day.get("loss", {})
    shown = f", loss {loss['champion']:.3f} → {loss['challenger']:.3f}" if loss else ""
    said = ", ".join(f"{count} {kind}" for kind, count in day["said"].items())
    return f"day {day['day']}: {said}; {day['outcome']}{shown}; champion {day['champion']}"


def plot(days: list[dict[str, Any]], path: Path) -> None:
    """Held-out loss of champion and challenger over the days."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3.5))
    judged = [day for day in days if "loss" in day]
    at = [day["day"] for day in judged]
    axes.plot(at, [day["loss"]["champion"] for day in judged], "o-", label="champion in the morning")
    axes.plot(at, [day["loss"]["challenger"] for day in judged], "s--", label="challenger in the evening")
    for day in judged:
        axes.annotate(
            day["outcome"], (day["day"], day["loss"]["challenger"]), xytext=(4, 6), textcoords="offset points"
        )
    axes.set(xlabel="day", ylabel="nats per held-out token", title="A simulated week of feedback")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    main()
