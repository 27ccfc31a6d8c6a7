"""A week of feedback on advertising copy, day by day: plan, iteration, gate, trial, rollback. The users are SIMULATED.

python examples/iterate_week.py runs/week [--per-day=28] [--inputs=61] [--precision=int4] [base=./my-model …]

Each simulated user reads an answer of the running engine, compares it with a copywriter's text for the same facts, and
accepts it, edits it into that text, or rejects it. On the mornings of the second and the fourth day a plan predicts how
many samples the next gain needs and when it is due. A version that passes the gate on the second day, or the third, is
tried by half of the users before it becomes champion. On the fifth day all answers are edited into the text of another
product. If the gate rejects the result, it is overruled, and half of the users judge that version on the sixth day; if
the bad day waits together with good feedback, an editor reads it and rejects the day by hand. On the seventh day the
champion is rolled back. Completed days and stored answers are not repeated: run it again to resume.
"""

import argparse
import json
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from metier.adapt import adapt
from metier.bases import resolve
from metier.contracts import Answer, ContractError, Sample
from metier.data.near_duplicates import jaccard, shingles
from metier.data.split import select
from metier.data.training import first_inputs, training_data
from metier.export import export_slots
from metier.feedback import FeedbackStore
from metier.iterate import Gate, IterationSettings, LiveEngine, Registry, compare, reject_days, run_iteration
from metier.iterate.curve import fit, measure
from metier.iterate.plan import plan
from metier.plugins import load_plugins
from metier.runtime import Engine
from metier.training import recipe_for

MONDAY = datetime(2026, 1, 5, 9, tzinfo=UTC)
TRIED_DAYS, BAD_DAY, LAST_DAY = (2, 3), 5, 7
PLANNED_DAYS, SIZES, SEEDS = (2, 4), "12,24,48", 1
"""Mornings that ask for a plan, and the runs of its learning curve: small and few, since each takes its minutes."""
GAIN = 0.03
"""Nats per held-out token that are worth shipping: what the gate proves on 40 inputs."""
SHARE = 0.5
"""Of the users, that a trial is given: a week is short."""

FIRST = 48
"""Samples that the first champion is made from: a week's worth of feedback is more."""

STANDS, HOPELESS = 0.30, 0.10
"""Jaccard index of 4-grams with the copywriter's text from which a simulated user lets an answer stand, some four in
ten of them, and below which every second one rejects it instead of mending it."""


def simulated_day(live: LiveEngine, samples: list[Sample], day: int, strangers: list[Sample]) -> dict[str, int]:
    """Users request copy and give feedback on it; the number of events of each kind."""
    rng = random.Random(day)
    users = [f"user {rng.randrange(40)}" for _ in samples]
    ids = [f"day {day}, {number}" for number in range(len(samples))]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda *request: answer_of(live, *request), ids, samples, users))
    counts: dict[str, int] = {}
    for number, (answer, sample) in enumerate(zip(answers, samples, strict=True)):
        if answer is None:
            counts["without an answer"] = counts.get("without an answer", 0) + 1
            continue
        given, wanted = answer.output["text"], sample.output["text"]
        alike = jaccard(shingles(given), shingles(wanted))
        when = {"user": answer.user, "at": MONDAY + timedelta(days=day - 1, minutes=number), "id": answer.id}
        if day == BAD_DAY:
            kind, fields = "edited", {"edited_to": strangers[number].output}
        elif alike >= STANDS:
            kind, fields = "accepted", {}
        elif alike < HOPELESS and rng.random() < 0.5:
            kind, fields = "rejected", {}
        else:
            kind, fields = "edited", {"edited_to": {"text": wanted}}
        live.store.add_event(answer.id, kind, **fields, **when)  # an event that is stored already is skipped
        counts[kind] = counts.get(kind, 0) + 1
    return counts


def answer_of(live: LiveEngine, id: str, sample: Sample, user: str) -> Answer | None:
    """The engine's answer; None where the reply violates the contract, such as an empty one."""
    try:
        return live.store.answer(id) or live.answer(sample.input, user=user, id=id, consent=True)
    except ContractError:
        return None


def morning(live: LiveEngine, day: int, sizes: list[int], base: Any) -> dict[str, Any]:
    """The plan from the feedback so far; the curve of the first champion's samples is measured once."""
    registry, state = live.registry, live.registry.state()
    first, held_out = registry.finetune("v0001"), registry.held_out()
    runs = registry.folder / "curve"
    points = measure(registry.task, registry.pool("v0001"), held_out, first.card.recipe, sizes, SEEDS, runs, base=base)
    pool, events = registry.pool(state.champion), live.store.events(registry.task.name)
    planned = plan(
        registry.task, fit(points), events, held_out, samples_now=len(pool), gain=GAIN, pool=pool,
        rejected=state.rejected, now=MONDAY + timedelta(days=day - 1),
    )  # fmt: skip
    return {
        "plan": planned.model_dump(
            include={"samples_now", "more", "more_interval", "arrival", "days", "improve_by", "why"}
        )
    }


def editor(live: LiveEngine) -> dict[str, Any]:
    """The bad day waits with good ones: an editor reads its edits and rejects them."""
    bad = (MONDAY + timedelta(days=BAD_DAY - 1)).date()
    if not any(entry.action == "days rejected" for entry in live.registry.state().history):
        reject_days(live.registry, live.store, bad, bad, "an editor read the edits")
    return {"rejected_by_hand": BAD_DAY}


def evening(live: LiveEngine, day: int, settings: IterationSettings, checks: Any) -> dict[str, Any]:
    """The use of the day's feedback: a trial ends, an iteration runs, or the champion is rolled back."""
    registry, store = live.registry, live.store
    notes: dict[str, Any] = trial_ends(live) if registry.state().challenger is not None else {}
    if day == LAST_DAY:
        if len(registry.state().champions) < 2:
            return {**notes, "outcome": "nothing to roll back"}
        registry.rollback("part of the simulation")
        return {**notes, "outcome": "rolled back"}
    state = registry.state()
    tried = any(entry.action == "canary" and registry.version(entry.version).passed for entry in state.history)
    share, parent = SHARE if day in TRIED_DAYS and not tried else 0.0, state.champion
    result = run_iteration(
        registry, store, live.engine, settings=settings.model_copy(update={"share": share}), checks=checks
    )
    notes |= {"outcome": result.outcome, "parent": parent, "version": result.version, "why": result.why}
    notes |= {"samples": len(result.feedback.samples)}
    if result.comparison:
        notes |= {"loss": result.comparison.loss, "loss_difference": result.comparison.loss_difference.model_dump()}
        metric = result.comparison.metrics[0]
        notes["metric"] = {"name": metric.title, **{k: round(v.value, 2) for k, v in metric.values.items()}}
    if day == BAD_DAY and result.outcome == "rejected" and result.version:
        registry.canary(result.version, SHARE, "the gate is overruled")
        notes["overruled"] = True
    return notes


def trial_ends(live: LiveEngine) -> dict[str, Any]:
    """Users have judged a challenger. One that passed the gate must not be worse for sure; one that failed must be
    better for sure."""
    registry, state = live.registry, live.registry.state()
    sides = registry.adapter(state.champion), registry.adapter(state.challenger)
    trial = compare(live.store.events(registry.task.name), *sides, since=state.trial_since)
    change = trial.difference
    worse, better = (change.high < 0, change.low > 0) if change else (False, False)
    if worse or not (better or registry.version(state.challenger).passed):
        end, _ = "withdrawn", registry.withdraw("fewer of its answers are good" if worse else "users do not prefer it")
    else:
        end, _ = "promoted", registry.promote(state.challenger, "users do not like it less")
    figures = trial.model_dump(include={"users", "answers", "good", "difference", "significant"})
    return {"trial": {"champion": state.champion, "challenger": state.challenger, "end": end, **figures}}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--per-day", type=int, default=28)
    parser.add_argument("--inputs", type=int, default=61, help="measure on this many")
    parser.add_argument("--sizes", default=SIZES, help="numbers of samples that the plan's curve goes through")
    parser.add_argument("--until", type=int, default=LAST_DAY, help="stop after this day")
    parser.add_argument("--precision", default="int4")
    parser.add_argument("--settings", type=json.loads, default={}, help="JSON, of metier.iterate.IterationSettings")
    parser.add_argument("recipe", nargs="*", help="KEY=VALUE of the recipe")
    args = parser.parse_intermixed_args()

    vertical, task = load_plugins().task("adcopy.describe")
    recipe = recipe_for(vertical, task.name, overrides=args.recipe)
    data = training_data(vertical, task)
    held_out, order = first_inputs(data.held_out, args.inputs), select(data.train, len(data.train), 0)
    base, out = resolve(recipe.base), args.out
    first = adapt(task, order[:FIRST], held_out, recipe, out / "first", base=base)
    if not (out / "bundle").is_dir():
        export_slots([first], out / "bundle", names=["describe"], precision=args.precision, base=base)
    if not (out / "registry/state.json").is_file():
        Registry.create(out / "registry", first)
    done = [json.loads(line) for line in (out / "days.jsonl").open()] if (out / "days.jsonl").is_file() else []
    settings = IterationSettings(
        **{"min_samples": 8, "epochs": 2, **args.settings, "gate": Gate(**args.settings.get("gate", {}))}
    )
    checks = vertical.checks_for(task.name)

    print("THE USERS ARE SIMULATED.", *map(summary, done), sep="\n", flush=True)
    with Engine(out / "bundle", device="cpu") as engine, FeedbackStore(out / "feedback.db") as store:
        live = LiveEngine(engine, Registry(out / "registry"), store, checks=checks)
        for day in range(len(done) + 1, args.until + 1):
            start = FIRST + (day - 1) * args.per_day
            samples = order[start : start + args.per_day]
            sizes = [int(size) for size in args.sizes.split(",")]
            planned = morning(live, day, sizes, base) if day in PLANNED_DAYS else {}
            feedback = simulated_day(live, samples, day, order[start + 1 : start + args.per_day] + order[:1])
            notes = {"day": day, **planned, "feedback": feedback, "morning": live.registry.state().champion}
            if (
                day == BAD_DAY + 1
                and done[-1]["outcome"] in ("waiting", "too few")
                and "edited" in done[-1]["feedback"]
            ):
                notes |= editor(live)
            notes |= evening(live, day, settings, checks)
            notes["champion"] = live.registry.state().champion
            with (out / "days.jsonl").open("a") as file:
                file.write(json.dumps(notes) + "\n")
            done.append(notes)
            print(summary(notes), flush=True)
    (out / "week.svg").write_text(plot(done), "utf-8")


def summary(day: dict[str, Any]) -> str:
    """A day in a line."""
    loss, trial = day.get("loss", {}), day.get("trial")
    shown = f", loss {loss['champion']:.3f} → {loss['challenger']:.3f}" if loss else ""
    tried = f"; trial of {trial['challenger']}: {trial['end']}" if trial else ""
    counts = ", ".join(f"{count} {kind}" for kind, count in day["feedback"].items())
    due = f"{forecast(day['plan'])}; " if "plan" in day else ""
    rejected = f"; day {day['rejected_by_hand']} rejected by hand" if "rejected_by_hand" in day else ""
    return f"day {day['day']}: {due}{counts}{tried}{rejected}; {day['outcome']}{shown}; champion {day['champion']}"


def forecast(plan: dict[str, Any]) -> str:
    """A plan in a few words."""
    more = "more samples than the curve predicts" if plan["more"] is None else f"{plan['more']} more samples"
    due = "no date" if plan["days"] is None else f"due in {plan['days']:g} days"
    per_day = plan["arrival"]["per_day"]["value"]
    return f"plan: {GAIN} nats less take {more}, {per_day:.1f} arrive a day, {due}, improve by {plan['improve_by']}"


STYLE = """
text { font: 12px system-ui, sans-serif; fill: #444 } .ends { font-weight: 600 }
.grid { stroke: #8886 } .bad { fill: #8882 } path { fill: none; stroke-width: 2.5 }
.champion { stroke: #1f6fb2 } .challenger { fill: #c2571a }
@media (prefers-color-scheme: dark) {
  text { fill: #ccc } .champion { stroke: #6db3f2 } .challenger { fill: #f2a268 }
}
"""
OUTCOMES = {
    "promoted": ("promoted", "上线"),
    "canary": ("on trial", "试用"),
    "rejected": ("rejected", "拒绝"),
    "waiting": ("waits", "等待"),
    "too few": ("too few", "样本不足"),
    "rolled back": ("rolled back", "回退"),
}
WIDTH, HEIGHT, LEFT, DAY = 760, 200, 64, 86
"""Pixels: the picture's width, a panel's height, the margin left of the first day, a day's width."""


def plot(days: list[dict[str, Any]]) -> str:
    """Held-out loss, and the task's metric, of who is champion in the course of the days, and of each evening's
    challenger, as SVG that follows the reader's light or dark screen."""
    judged = [day for day in days if "loss" in day]
    if not judged:
        return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} 1"/>'
    name = judged[0]["metric"]["name"]
    panels = [
        outcomes(days, 34),
        panel(days, "loss", "held-out loss, nats per token (lower is better) · 留出集损失（越低越好）", 80),
        panel(days, "metric", f"{name} (higher is better) · 越高越好", 116 + HEIGHT),
    ]
    below = 116 + 2 * HEIGHT
    ticks = [
        f'<text x="{LEFT + (day["day"] - 0.5) * DAY:.0f}" y="{below + 18}" text-anchor="middle">{day["day"]}</text>'
        for day in days
    ]
    legend = (
        f'<text x="{LEFT + len(days) * DAY / 2:.0f}" y="{below + 38}" text-anchor="middle">day · 天</text>'
        f'<path class="champion" d="M {LEFT} {below + 56} h 28"/>'
        f'<text x="{LEFT + 36}" y="{below + 60}">who answers · 现役版本</text>'
        f'<circle class="challenger" cx="{LEFT + 226}" cy="{below + 56}" r="5"/>'
        f'<text x="{LEFT + 238}" y="{below + 60}">what the evening made of the feedback · 当晚的新版本</text>'
    )
    size = f'viewBox="0 0 {WIDTH} {below + 72}" width="{WIDTH}" height="{below + 72}"'
    inner = "\n".join([f"<style>{STYLE}</style>", *panels, *ticks, legend])
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">\n{inner}\n</svg>\n'


def outcomes(days: list[dict[str, Any]], top: int) -> str:
    """What each evening came to, in two languages, above its moment."""
    parts = []
    for day in days:
        x = LEFT + day["day"] * DAY
        for line, words in enumerate(OUTCOMES.get(day["outcome"], (day["outcome"], ""))):
            parts.append(f'<text class="ends" x="{x}" y="{top + 15 * line}" text-anchor="middle">{words}</text>')
    return "\n".join(parts)


def panel(days: list[dict[str, Any]], what: str, title: str, top: int) -> str:
    """One figure over the days: a line for who answers, a point for each evening's challenger."""
    known: dict[str, float] = {}
    for day in days:
        if what in day:
            known[day["parent"]] = day[what]["champion"]
            known |= {day["version"]: day[what]["challenger"]} if day["version"] else {}
    values = [*known.values(), *(day[what]["challenger"] for day in days if what in day)]
    room = 0.18 * (max(values) - min(values) or 1)
    low, high = min(values) - room, max(values) + room

    def y(value: float) -> float:
        return round(top + HEIGHT * (high - value) / (high - low), 1)

    parts = [f'<text x="{LEFT}" y="{top - 4}">{title}</text>']
    for i in range(4):
        value = low + (i + 0.5) * (high - low) / 4
        parts.append(f'<path class="grid" style="stroke-width:1" d="M {LEFT} {y(value)} h {len(days) * DAY}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(value) + 4}" text-anchor="end">{value:.2f}</text>')
    parts += [
        f'<rect class="bad" x="{LEFT + (day["day"] - 1) * DAY}" y="{top}" width="{DAY}" height="{HEIGHT}"/>'
        for day in days
        if day["day"] == BAD_DAY
    ]
    line = ""
    for day in days:
        if day["morning"] in known:
            start = f"{LEFT + (day['day'] - 1) * DAY} {y(known[day['morning']])}"
            line += f"{' L' if line else 'M'} {start} h {DAY}"
    if days[-1]["champion"] in known:
        line += f" L {LEFT + len(days) * DAY} {y(known[days[-1]['champion']])} h 12"
    parts.append(f'<path class="champion" d="{line}"/>')
    parts += [
        f'<circle class="challenger" cx="{LEFT + day["day"] * DAY}" cy="{y(day[what]["challenger"])}" r="5"/>'
        for day in days
        if what in day
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    main()
