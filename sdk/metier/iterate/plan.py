"""When the next gain worth shipping is due, from the learning curve and the rate of new samples; and whether search or
feedback helps a task more."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np

from metier.contracts import EventKind, Sample, TaskContract
from metier.contracts.schema import Data
from metier.data.deduplicate import deduplicate, value_text
from metier.feedback.stored_event import StoredEvent
from metier.feedback.training_data import collect_feedback
from metier.iterate.curve import Curve
from metier.iterate.version import EventRange
from metier.metrics.results import Interval

WINDOW = 28
"""Days that the rate is measured over: four of each weekday."""

LEARNABLE = 0.3
"""Share of edits that add facts missing from the input, from which search helps more: samples teach wording, and a
model does not remember a fact that it saw once."""

Remedy = Literal["search", "feedback", "both"]


class Arrival(Data):
    """How fast samples arrive."""

    days: int
    """Days that were counted, the last of them today, or yesterday while nothing has arrived today."""
    samples: int
    per_day: Interval
    """New samples per day that feedback gives, with an interval over days."""


class IterationPlan(Data):
    """What to expect of the next iterations."""

    task: str
    samples_now: int
    loss_now: Interval
    """Loss that the curve predicts for `samples_now`, in nats per reply token."""
    gain: float
    """Nats per reply token that are worth shipping."""
    more: int | None
    """Further samples that the gain needs; None where the curve does not fall so far."""
    more_interval: tuple[int | None, int | None]
    """The fewest and the most; None is beyond the curve's predictions."""
    arrival: Arrival
    days: float | None
    """Days until they have arrived, at the present rate."""
    days_interval: tuple[float | None, float | None]
    new_facts: float | None
    """Share of edits that add a number or a name missing from the input; None without edits."""
    improve_by: Remedy
    why: str
    curve: Curve


def plan(
    task: TaskContract,
    curve: Curve,
    events: Iterable[StoredEvent],
    held_out: Sequence[Sample],
    *,
    samples_now: int,
    gain: float,
    now: datetime | None = None,
    pool: Sequence[Sample] = (),
    rejected: Iterable[EventRange] = (),
) -> IterationPlan:
    """Samples and days to the next gain, and where to get them.

    Args:
        task: the contract.
        curve: from `curve.fit`.
        events: all feedback of the task.
        held_out: samples that are never trained on.
        samples_now: samples that the champion was trained on.
        gain: nats per reply token that are worth shipping; the gate proves some 0.03 on 40 held-out inputs.
        now, pool, rejected: as for `arrival`.
    """
    feedback = list(events)
    rate = arrival(task, feedback, held_out, now=now, pool=pool, rejected=rejected)
    more, fewest, most = curve.more_for(samples_now, gain)
    facts = new_facts(feedback)
    improve_by, why = _improve_by(task, facts)
    return IterationPlan(
        task=task.name,
        samples_now=samples_now,
        loss_now=curve.loss(samples_now),
        gain=gain,
        more=more,
        more_interval=(fewest, most),
        arrival=rate,
        days=_days(more, rate.per_day.value),
        days_interval=(_days(fewest, rate.per_day.high), _days(most, rate.per_day.low)),
        new_facts=facts,
        improve_by=improve_by,
        why=why,
        curve=curve,
    )


def arrival(
    task: TaskContract,
    events: Sequence[StoredEvent],
    held_out: Sequence[Sample],
    seed: int = 0,
    *,
    now: datetime | None = None,
    pool: Sequence[Sample] = (),
    rejected: Iterable[EventRange] = (),
) -> Arrival:
    """Samples a day over the last WINDOW days, those without any counted in, today from its first event on.

    Bootstrapped over days; on the first day the interval is that of a Poisson count.

    Args:
        task: the contract.
        events: all its feedback.
        held_out: samples that are never trained on.
        seed: of the bootstrap.
        now: end of the days; None is the present time.
        pool: the champion's training samples: a duplicate of one of them does not count.
        rejected: events that are not trained on.
    """
    if not events:
        return Arrival(days=0, samples=0, per_day=Interval(value=0, low=0, high=0))
    removed = tuple(rejected)
    day = {item.number: item.event.at.astimezone(UTC).date() for item in events}
    usable = [item for item in events if not any(first <= item.number <= end for first, end in removed)]
    numbers = {item.number for item in usable}
    # Samples of the pool count on the day of their own events: they come before their duplicates.
    kept = deduplicate([*pool, *collect_feedback(task, usable, held_out).samples]).kept
    lines = [s.provenance.line for s in kept if s.provenance and s.provenance.source == "feedback"]
    last = (now or datetime.now(UTC)).astimezone(UTC).date()
    if max(day.values()) < last:  # a day without feedback so far is not a day without feedback
        last -= timedelta(days=1)
    first = min(last, max(min(day.values()), last - timedelta(days=WINDOW - 1)))
    counted = Counter(day[line] for line in lines if line in numbers)
    days = [counted[first + timedelta(days=i)] for i in range((last - first).days + 1)]
    means = np.random.default_rng(seed).choice(days, (2000, len(days))).mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    mean = sum(days) / len(days)
    if len(days) == 1:
        low, high = max(0.0, mean - 1.96 * mean**0.5), mean + 1.96 * mean**0.5
    per_day = Interval(value=mean, low=min(float(low), mean), high=max(float(high), mean))
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
"""Chinese has no capitals: titles are recognised by their marks, numbers in words by their unit, and names by their
ending with the two characters before it. Names of people are not recognised."""


def new_facts(events: Iterable[StoredEvent]) -> float | None:
    """Share of edits with a number, or a name within a sentence, that is missing from both input and answer."""
    edits = [item for item in events if item.event.kind is EventKind.EDITED and item.event.edited_to]
    if not edits:
        return None
    return sum(_adds_facts(item) for item in edits) / len(edits)


def _adds_facts(edit: StoredEvent) -> bool:
    known = value_text(edit.answer.input).casefold() + value_text(edit.answer.output).casefold()
    text = _SEAM.sub(" ", " ".join(str(value) for value in (edit.event.edited_to or {}).values()))
    words = [
        m[0] for m in _FACT.finditer(text) if not _starts_sentence(text, m.start()) or any(c.isdigit() for c in m[0])
    ]
    return any(word.casefold() not in known for word in [*words, *_FACT_ZH.findall(text)])


def _starts_sentence(text: str, start: int) -> bool:
    """Whether a word is the first of its sentence, where it has a capital anyway."""
    before = text[:start].rstrip()
    return not before or before[-1] in ".!?:;\"'。！？"


def _improve_by(task: TaskContract, facts: float | None) -> tuple[Remedy, str]:
    share = f"{facts:.0%} of the edits add facts that the input does not hold" if facts is not None else ""
    reason = "needs facts newer than any base" if task.fresh_facts else "is answered from documents"
    # The reader of the plan has to know how documents reach the model.
    how = "" if task.takes_passages else "; give its input a field `passages`, which documents fill"
    if (task.fresh_facts or task.takes_passages) and (facts is None or facts >= LEARNABLE):
        return "search", f"the task {reason}" + (f", and {share}" if share else "") + how
    if task.fresh_facts or task.takes_passages:
        return "both", f"the task {reason}, but only {share}: the rest is wording{how}"
    if facts is not None and facts >= LEARNABLE:
        return "search", f"{share}: put them into the input, since the model will not remember them{how}"
    return (
        "feedback",
        share + ": users correct the wording, which samples teach" if share else "no edit adds facts",
    )


def _days(samples: int | None, per_day: float) -> float | None:
    return None if samples is None or per_day <= 0 else round(samples / per_day, 1)
