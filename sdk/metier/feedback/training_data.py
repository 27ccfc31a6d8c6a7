"""Training data of feedback: samples, preferences and judged samples, and every event that was left out with the rule.

The rules, in order:

1. Without the user's consent an answer is not used. Of one user's events on one answer the latest counts
   (`latest_events`). An answer or edit that violates the contract is left out.
2. Personal data is replaced by its kind. An input that resembles a held-out one is left out.
3. An output that some users accept and others reject goes by the majority of users; a tie is left out. Where a task
   has one right output (labels, spans, relations), different outputs for one input are decided the same way.
4. Duplicates and near-duplicates are left out. An edit is kept before a choice, a choice before an approval, and the
   newer before the older.

It reads events and does not know training.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from metier.contracts import (
    EVENT_KINDS,
    ContractError,
    JudgedSample,
    Preference,
    Provenance,
    Sample,
    TaskContract,
    TaskKind,
    Value,
)
from metier.contracts.schema import Data
from metier.data.deduplicate import deduplicate, value_text
from metier.data.leakage import leaks
from metier.data.near_duplicates import normal
from metier.data.pii import scrub, scrub_sample
from metier.feedback.latest_events import latest_events
from metier.feedback.stored_event import StoredEvent

ONE_RIGHT_OUTPUT = frozenset({TaskKind.CLASSIFY, TaskKind.EXTRACT, TaskKind.RELATE, TaskKind.RANK})
"""Kinds of task where two different outputs for one input contradict each other; elsewhere both may be good."""

Rule = Literal["consent", "superseded", "contract", "held_out", "conflict", "exact", "near", "overruled"]


class LeftOut(Data):
    """An event that is not used for training, and why."""

    number: int
    """Of the event in the store; 0 for an overruled sample that did not come from feedback."""
    answer: str
    """Id of the answer; empty for an overruled sample."""
    rule: Rule
    reason: str


class FeedbackData(Data):
    """What a range of feedback events teaches."""

    task: str
    samples: tuple[Sample, ...]
    """For supervised fine-tuning: edits, choices and approvals."""
    preferences: tuple[Preference, ...]
    """For DPO and reward models: an edit over the edited answer, a choice over the answers offered beside it."""
    judged: tuple[JudgedSample, ...]
    """For KTO: single outputs, good or bad."""
    left_out: tuple[LeftOut, ...]
    scrubbed: int
    """Pieces of personal data that were replaced."""
    events: int
    """Events that were read, comments included."""
    until: int
    """Number of the last event that was read: the next call continues after it."""

    def counts(self) -> dict[str, int]:
        """How many rows of each type there are, and how many each rule left out."""
        rules = [left.rule for left in self.left_out]
        rows = {"samples": len(self.samples), "preferences": len(self.preferences), "judged": len(self.judged)}
        return {**rows, **{f"left out: {rule}": rules.count(rule) for rule in dict.fromkeys(rules)}}


class _Judgement(NamedTuple):
    """An output that one event judges good or bad."""

    source: StoredEvent
    sample: Sample
    good: bool
    rank: int
    """`KindRule.rank`: of two events that teach the same sample the lower one stays."""


class _Comparison(NamedTuple):
    """An output that one event prefers over another."""

    source: StoredEvent
    better: Sample
    worse: Sample


def collect_feedback(
    task: TaskContract, events: Iterable[StoredEvent], held_out: Sequence[Sample] = ()
) -> FeedbackData:
    """Samples, preferences and judged samples of a task from its feedback.

    Args:
        task: the contract.
        events: in the order of writing, such as `store.events(task.name, after=…)`.
        held_out: samples to measure on; events whose input resembles theirs are left out.
    """
    left: list[LeftOut] = []
    usable: list[StoredEvent] = []
    count = until = 0
    for item in events:
        count, until = count + 1, item.number
        if item.answer.task != task.name or EVENT_KINDS[item.event.kind].replaces is None:
            continue
        if not item.answer.consent:
            left.append(_left_out(item, "consent", "the user did not consent to training"))
            continue
        usable.append(item)
    latest, superseded = latest_events(usable)
    left += [_left_out(item.event, "superseded", item.reason) for item in superseded]
    scrubbed = 0
    judgements: list[_Judgement] = []
    comparisons: list[_Comparison] = []
    for item in latest:
        try:
            judged, compared, replaced = _read_event(task, item)
        except ContractError as error:
            left.append(_left_out(item, "contract", error.what))
            continue
        judgements, comparisons, scrubbed = judgements + judged, comparisons + compared, scrubbed + replaced
    judgements, comparisons = _without_held_out(judgements, comparisons, held_out, left)
    judgements = _without_conflicts(task, judgements, left)
    return FeedbackData(
        task=task.name,
        samples=_samples(judgements, left),
        preferences=_preferences(comparisons, left),
        judged=_judged(judgements),
        left_out=tuple(sorted(left, key=lambda item: item.number)),
        scrubbed=scrubbed,
        events=count,
        until=until,
    )


def _read_event(task: TaskContract, item: StoredEvent) -> tuple[list[_Judgement], list[_Comparison], int]:
    """(what one event judges, what it compares, pieces of personal data replaced in both).

    Raises:
        ContractError: an input or output violates the contract.
    """
    answer, event = item.answer, item.event
    scrubbed = 0

    def clean(output: Value) -> Sample:
        nonlocal scrubbed
        place = Provenance(source="feedback", line=item.number)
        sample = Sample(task=task.name, input=answer.input, output=output, language=answer.language, provenance=place)
        without, found = scrub_sample(sample)
        scrubbed += len(found)
        return task.check_sample(without)

    received = clean(answer.output)
    needs = EVENT_KINDS[event.kind].needs
    if needs == "edited_to" and event.edited_to is not None:
        event = event.model_copy(update={"edited_to": clean(event.edited_to).output})
    if needs == "among":
        event = event.model_copy(update={"among": tuple(clean(other).output for other in event.among)})

    def of(output: Value) -> Sample:
        return received.model_copy(update={"output": output})

    judged = event.judged(received.output)
    rank = event.rule(received.output).rank
    return (
        [] if judged is None else [_Judgement(item, of(judged[0]), judged[1], rank)],
        [_Comparison(item, of(better), of(worse)) for better, worse in event.preferences(received.output)],
        scrubbed,
    )


def _without_held_out(
    judgements: list[_Judgement], comparisons: list[_Comparison], held_out: Sequence[Sample], left: list[LeftOut]
) -> tuple[list[_Judgement], list[_Comparison]]:
    samples = [j.sample for j in judgements] + [c.better for c in comparisons] + [c.worse for c in comparisons]
    sources = [j.source for j in judgements] + [c.source for c in comparisons] * 2
    similar = {sources[place].number: (sources[place], twin) for place, twin in leaks(samples, held_out).items()}
    for source, twin in similar.values():
        shown, _ = scrub(value_text(twin.input))
        left.append(_left_out(source, "held_out", f"it resembles the held-out input {shown[:80]}"))
    return (
        [j for j in judgements if j.source.number not in similar],
        [c for c in comparisons if c.source.number not in similar],
    )


def _without_conflicts(task: TaskContract, judgements: list[_Judgement], left: list[LeftOut]) -> list[_Judgement]:
    """Judgements that the majority of users shares."""
    by_output: dict[tuple[str, str], list[_Judgement]] = {}
    for judgement in judgements:
        by_output.setdefault((_input(judgement), _output(judgement)), []).append(judgement)
    kept: list[_Judgement] = []
    for group in by_output.values():
        good, bad = ({j.source.voter for j in group if j.good is side} for side in (True, False))
        for side, votes in ((True, (len(good), len(bad))), (False, (len(bad), len(good)))):
            kept += _majority([(j, *votes) for j in group if j.good is side], left)
    if task.kind not in ONE_RIGHT_OUTPUT:
        return kept
    by_input: dict[str, dict[str, set[str]]] = {}
    for judgement in kept:
        if judgement.good:
            voters = by_input.setdefault(_input(judgement), {}).setdefault(_output(judgement), set())
            voters.add(judgement.source.voter)

    counted = []
    for judgement in kept:
        votes_for, votes_against = 1, 0
        if judgement.good:
            rivals = by_input[_input(judgement)]
            votes_for = len(rivals[_output(judgement)])
            votes_against = max((len(v) for output, v in rivals.items() if output != _output(judgement)), default=0)
        counted.append((judgement, votes_for, votes_against))
    return _majority(counted, left)


def _majority(counted: list[tuple[_Judgement, int, int]], left: list[LeftOut]) -> list[_Judgement]:
    """Judgements with more users for them than against them."""
    kept = []
    for judgement, votes_for, votes_against in counted:
        if votes_for > votes_against:
            kept.append(judgement)
        else:
            reason = f"{votes_for} users agree and {votes_against} disagree"
            left.append(_left_out(judgement.source, "conflict", reason))
    return kept


def _samples(judgements: list[_Judgement], left: list[LeftOut]) -> tuple[Sample, ...]:
    """The good outputs without duplicates, in the order of their events."""
    good = sorted((j for j in judgements if j.good), key=lambda j: (j.rank, -j.source.number))
    unique = deduplicate(judgement.sample for judgement in good)
    by_sample = {id(judgement.sample): judgement for judgement in good}
    for dropped in unique.dropped:
        twin = by_sample[id(dropped.twin)].source.number
        same = "the same as" if dropped.reason == "exact" else "nearly the same as"
        source = by_sample[id(dropped.sample)].source
        left.append(_left_out(source, dropped.reason, f"its sample is {same} that of event {twin}"))
    return tuple(sorted(unique.kept, key=_event_number))


def _preferences(comparisons: list[_Comparison], left: list[LeftOut]) -> tuple[Preference, ...]:
    """Each pair once, in the direction that the majority of users prefers."""
    voters: dict[tuple[str, str, str], set[str]] = {}
    for pair in comparisons:
        voters.setdefault(_direction(pair), set()).add(pair.source.voter)
    unique: dict[tuple[str, str, str], Preference] = {}
    for pair in comparisons:
        input, better, worse = key = _direction(pair)
        votes_for, votes_against = len(voters[key]), len(voters.get((input, worse, better), ()))
        if votes_for <= votes_against:
            reason = f"{votes_for} users prefer this output and {votes_against} the other"
            left.append(_left_out(pair.source, "conflict", reason))
        elif key not in unique:
            unique[key] = Preference(
                task=pair.better.task,
                input=pair.better.input,
                chosen=pair.better.output,
                rejected=pair.worse.output,
                language=pair.better.language,
                provenance=pair.better.provenance,
            )
    return tuple(unique.values())


def _judged(judgements: list[_Judgement]) -> tuple[JudgedSample, ...]:
    """Each judged output once, without the user who judged it."""
    unique: dict[tuple[str, str], JudgedSample] = {}
    for judgement in judgements:
        key = (_input(judgement), _output(judgement))
        if key not in unique:
            unique[key] = JudgedSample(**dict(judgement.sample), good=judgement.good)
    return tuple(unique.values())


def _left_out(source: StoredEvent, rule: Rule, reason: str) -> LeftOut:
    return LeftOut(number=source.number, answer=source.answer.id, rule=rule, reason=reason)


def _input(judgement: _Judgement) -> str:
    return normal(value_text(judgement.sample.input))


def _output(judgement: _Judgement) -> str:
    return normal(value_text(judgement.sample.output))


def _direction(pair: _Comparison) -> tuple[str, str, str]:
    return value_text(pair.better.input), value_text(pair.better.output), value_text(pair.worse.output)


def _event_number(sample: Sample) -> int:
    return (sample.provenance.line if sample.provenance else None) or 0
