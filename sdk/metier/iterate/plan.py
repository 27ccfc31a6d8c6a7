"""When the next gain worth shipping is due: the learning curve and how fast samples arrive; and which of the two wells,
search or feedback, this task should draw from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np

from metier.contracts import Sample, TaskContract
from metier.contracts.schema import Data
from metier.data.deduplicate import deduplicate, value_text
from metier.feedback.stored_event import StoredEvent
from metier.feedback.training_data import collect_feedback
from metier.iterate.curve import Curve
from metier.iterate.version import Stretch
from metier.metrics.results import Interval

WINDOW = 28
"""Days that the rate is taken over: four of each weekday."""

LEARNABLE = 0.3
"""Share of edits that bring in facts which the input does not hold, from which search serves better: samples teach a
model how to say things, and a fact that it is told once it does not remember."""

Well = Literal["search", "feedback", "both"]


class Arrival(Data):
    """How fast samples come in."""

    days: int
    """Days that were looked at, the last of them today, or yesterday while nothing has come in."""
    samples: int
    per_day: Interval
    """Samples that a harvest keeps and that were not there before, per day, with an interval over days."""


class IterationPlan(Data):
    """What to expect of the loop."""

    task: str
    samples_now: int
    loss_now: Interval
    """What the curve says of as many samples, nats per reply token."""
    gain: float
    """Nats per reply token that are worth shipping."""
    more: int | None
    """Samples that it takes; None where the curve does not come down so far."""
    more_interval: tuple[int | None, int | None]
    """The fewest and the most; None is more than can be said."""
    arrival: Arrival
    days: float | None
    """Until they are there, at the present rate."""
    days_interval: tuple[float | None, float | None]
    new_facts: float | None
    """Share of edits that bring in a number or a name which the input does not hold; None without edits."""
    well: Well
    why: str
    curve: Curve


def plan(
    task: TaskContract,
    curve: Curve,
    told: Iterable[StoredEvent],
    held_out: Sequence[Sample],
    *,
    samples_now: int,
    gain: float,
    now: datetime | None = None,
    pool: Sequence[Sample] = (),
    refused: Iterable[Stretch] = (),
) -> IterationPlan:
    """Samples and days to the next gain, and where to get them.

    Args:
        task: the contract.
        curve: from `curve.fit`.
        told: the task's feedback, all of it.
        held_out: what is never learnt.
        samples_now: that the champion has learnt.
        gain: nats per reply token that are worth shipping; the gate proves some 0.03 on 40 held-out inputs.
        now, pool, refused: as `arrival` says.
    """
    said = list(told)
    came = arrival(task, said, held_out, now=now, pool=pool, refused=refused)
    more, fewest, most = curve.more_for(samples_now, gain)
    facts = new_facts(said)
    well, why = _well(task, facts)
    return IterationPlan(
        task=task.name,
        samples_now=samples_now,
        loss_now=curve.loss(samples_now),
        gain=gain,
        more=more,
        more_interval=(fewest, most),
        arrival=came,
        days=_days(more, came.per_day.value),
        days_interval=(_days(fewest, came.per_day.high), _days(most, came.per_day.low)),
        new_facts=facts,
        well=well,
        why=why,
        curve=curve,
    )


def arrival(
    task: TaskContract,
    told: Sequence[StoredEvent],
    held_out: Sequence[Sample],
    seed: int = 0,
    *,
    now: datetime | None = None,
    pool: Sequence[Sample] = (),
    refused: Iterable[Stretch] = (),
) -> Arrival:
    """Samples a day over the last WINDOW days, those without any counted in, today from its first event on.

    Bootstrapped over days; on the first one the interval is as wide as a Poisson count is.

    Args:
        task: the contract.
        told: its feedback, all of it.
        held_out: what is never learnt.
        seed: of the bootstrap.
        now: the moment the days end with; None is now.
        pool: all that the champion learnt: what says the same once more does not arrive.
        refused: events that are not learnt.
    """
    if not told:
        return Arrival(days=0, samples=0, per_day=Interval(value=0, low=0, high=0))
    away = tuple(refused)
    day = {item.number: item.event.at.astimezone(UTC).date() for item in told}
    said = [item for item in told if not any(first <= item.number <= end for first, end in away)]
    numbers = {item.number for item in said}
    # What the champion learnt from feedback arrived when it was said: the pool comes first, with its own events.
    kept = deduplicate([*pool, *collect_feedback(task, said, held_out).samples]).kept
    lines = [s.provenance.line for s in kept if s.provenance and s.provenance.source == "feedback"]
    last = (now or datetime.now(UTC)).astimezone(UTC).date()
    if max(day.values()) < last:  # in the morning nothing has come in yet, which is not to say that nothing will
        last -= timedelta(days=1)
    first = min(last, max(min(day.values()), last - timedelta(days=WINDOW - 1)))
    counted = Counter(day[line] for line in lines if line in numbers)
    days = [counted[first + timedelta(days=i)] for i in range((last - first).days + 1)]
    means = np.random.default_rng(seed).choice(days, (2000, len(days))).mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    rate = sum(days) / len(days)
    if len(days) == 1:
        low, high = max(0.0, rate - 1.96 * rate**0.5), rate + 1.96 * rate**0.5
    per_day = Interval(value=rate, low=min(float(low), rate), high=max(float(high), rate))
    return Arrival(days=len(days), samples=sum(days), per_day=per_day)


_FACT = re.compile(r"(?<![^\s\"'(\[])(?=\w*\d|\w*[A-Z])[\w.,:%€$£-]*\w|\d+")

_HAN = r"\u3000-\u303f\u4e00-\u9fff\uff00-\uffef"
_SEAM = re.compile(f"(?<=[{_HAN}])(?=[A-Za-z0-9])|(?<=[A-Za-z0-9])(?=[{_HAN}])")
"""Where Chinese meets Latin letters without a space."""

_FACT_ZH = re.compile(
    r"《[^》]+》"
    r"|(?!一[块年月日号天周成倍层])[零〇一二两三四五六七八九十百千万亿]+"
    r"(?:毫升|升|公斤|千克|克|斤|毫米|厘米|公里|米|元|块|年|月|日|号|天|周|小时|分钟|折|成|倍|层|寸)"
    r"|[\u4e00-\u9fff]{2}(?:(?<![城都超夜股])市|(?<![节外全])省|县|(?<![城乡小冰重古])镇"
    r"|(?<![们我你他本贵该])公司|集团|(?<![上读])大学|医院|博物馆)"
)
"""Chinese writes names without capitals: titles in their marks, numbers in words with a unit, and names by what they
end with, of which the two characters before it are looked at. Names of people are not told from other words."""


def new_facts(told: Iterable[StoredEvent]) -> float | None:
    """Share of edits with a number, or a name in mid-sentence, that neither the input nor the answer holds."""
    edits = [item for item in told if item.event.kind == "edited" and item.event.edited_to]
    if not edits:
        return None
    return sum(_brings(item) for item in edits) / len(edits)


def _brings(told: StoredEvent) -> bool:
    known = value_text(told.answer.input).casefold() + value_text(told.answer.output).casefold()
    made = _SEAM.sub(" ", " ".join(str(value) for value in (told.event.edited_to or {}).values()))
    words = [m[0] for m in _FACT.finditer(made) if not _opens(made, m.start()) or any(c.isdigit() for c in m[0])]
    return any(word.casefold() not in known for word in [*words, *_FACT_ZH.findall(made)])


def _opens(text: str, start: int) -> bool:
    """Whether a word begins its sentence: there a capital says nothing."""
    before = text[:start].rstrip()
    return not before or before[-1] in ".!?:;\"'。！？"


def _well(task: TaskContract, facts: float | None) -> tuple[Well, str]:
    share = f"{facts:.0%} of the edits bring in facts that the input does not hold" if facts is not None else ""
    reason = "needs facts newer than any base" if task.fresh_facts else "is answered from documents"
    # Whoever knows the documents only by name needs to be told how they get before the model.
    how = "" if task.takes_passages else "; give its input a field `passages`, which documents fill"
    if (task.fresh_facts or task.takes_passages) and (facts is None or facts >= LEARNABLE):
        return "search", f"the task {reason}" + (f", and {share}" if share else "") + how
    if task.fresh_facts or task.takes_passages:
        return "both", f"the task {reason}, but only {share}: the rest is wording{how}"
    if facts is not None and facts >= LEARNABLE:
        return "search", f"{share}: they must be put before the model, it will not remember them{how}"
    return (
        "feedback",
        share + ": what users mend is wording, which samples teach" if share else "no edit says otherwise",
    )


def _days(samples: int | None, per_day: float) -> float | None:
    return None if samples is None or per_day <= 0 else round(samples / per_day, 1)
