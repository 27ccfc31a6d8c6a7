"""From feedback to what can be learnt: samples, preferences and judged answers, each by a rule that is shown.

The rules, in their order:

1. Without consent nothing is learnt. A user's last word on an answer counts (`last_word`). What misses the contract is
   left out.
2. Personal data is replaced by its kind. What is like a held-out input is left out.
3. An answer that some let stand and others rejected goes by the majority of users; a tie teaches nothing. Where a task
   has one right output (labels, spans, relations), so do different outputs for one input.
4. What says the same as another, or nearly, is left out; an edit stays before a choice, a choice before an approval,
   and the newer before the older.

It reads the store and knows nothing of training.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from metier.contracts import (
    ContractError,
    Feedback,
    FeedbackEvent,
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
from metier.feedback.latest_events import last_words
from metier.feedback.records import Told

ONE_RIGHT = frozenset({TaskKind.CLASSIFY, TaskKind.EXTRACT, TaskKind.RELATE, TaskKind.RANK})
"""Kinds of task where two different outputs for one input contradict each other; elsewhere both may be good."""

Rule = Literal["consent", "superseded", "contract", "held_out", "conflict", "exact", "near", "overruled"]


class LeftOut(Data):
    """An event that teaches nothing, and why."""

    number: int
    """Of the event in the store; 0 for an overruled sample that came from none."""
    answer: str
    """Its id; empty for an overruled sample, which was learnt before."""
    rule: Rule
    reason: str


class Harvest(Data):
    """What a stretch of feedback teaches."""

    task: str
    samples: tuple[Sample, ...]
    """For supervised fine-tuning: edits, choices and approvals."""
    preferences: tuple[Preference, ...]
    """For DPO and reward models: an edit over what it mends, a choice over what was offered beside it."""
    judged: tuple[Feedback, ...]
    """For KTO: single answers, `accepted` or `rejected`."""
    left_out: tuple[LeftOut, ...]
    scrubbed: int
    """Pieces of personal data that were replaced."""
    events: int
    """Events that were looked at, comments included."""
    until: int
    """Number of the last of them: the next harvest goes on after it."""

    def counts(self) -> dict[str, int]:
        """How many of each, and how many each rule left out."""
        rules = [left.rule for left in self.left_out]
        made = {"samples": len(self.samples), "preferences": len(self.preferences), "judged": len(self.judged)}
        return {**made, **{f"left out: {rule}": rules.count(rule) for rule in dict.fromkeys(rules)}}


class _Claim(NamedTuple):
    """What an event says of one output: that it is good, or not."""

    told: Told
    sample: Sample
    good: bool
    rank: int
    """Edits 0, choices 1, approvals 2: the lower one stays where two say the same."""


class _Pair(NamedTuple):
    told: Told
    better: Sample
    worse: Sample


def harvest(task: TaskContract, told: Iterable[Told], held_out: Sequence[Sample] = ()) -> Harvest:
    """Samples, preferences and judged answers of a task from its feedback.

    Args:
        task: the contract.
        told: events in the order of writing, such as `store.told(task.name, after=…)`.
        held_out: samples to measure on; what is like their inputs is not learnt from.
    """
    left: list[LeftOut] = []
    heard: list[Told] = []
    events = until = 0
    for item in told:
        events, until = events + 1, item.number
        if item.answer.task != task.name or item.event.kind == "comment":
            continue
        if not item.answer.consent:
            left.append(_left(item, "consent", "the user did not agree that it may be learnt from"))
            continue
        heard.append(item)
    last, gone = last_words(heard)
    left += [_left(item.told, "superseded", item.reason) for item in gone]
    scrubbed = 0
    claims: list[_Claim] = []
    pairs: list[_Pair] = []
    for item in last:
        try:
            said, compared, replaced = _said(task, item)
        except ContractError as error:
            left.append(_left(item, "contract", error.what))
            continue
        claims, pairs, scrubbed = claims + said, pairs + compared, scrubbed + replaced
    claims, pairs = _apart(claims, pairs, held_out, left)
    claims = _settled(task, claims, left)
    good = sorted((c for c in claims if c.good), key=lambda c: (c.rank, -c.told.number))
    cleaned = deduplicate(claim.sample for claim in good)
    by_line = {id(claim.sample): claim for claim in good}
    for dropped in cleaned.dropped:
        twin = by_line[id(dropped.twin)].told.number
        same = "the same" if dropped.reason == "exact" else "nearly the same"
        left.append(_left(by_line[id(dropped.sample)].told, dropped.reason, f"it says {same} as event {twin}"))
    return Harvest(
        task=task.name,
        samples=tuple(sorted(cleaned.kept, key=_line)),
        preferences=_preferences(pairs, left),
        judged=_judged(claims),
        left_out=tuple(sorted(left, key=lambda item: item.number)),
        scrubbed=scrubbed,
        events=events,
        until=until,
    )


def _said(task: TaskContract, told: Told) -> tuple[list[_Claim], list[_Pair], int]:
    """What one event claims, scrubbed.

    Raises:
        ContractError: an input or output misses the contract.
    """
    answer, event = told.answer, told.event
    scrubbed = 0

    def sample(output: Value) -> Sample:
        nonlocal scrubbed
        clean, found = scrub_sample(
            Sample(
                task=task.name,
                input=answer.input,
                output=output,
                language=answer.language,
                provenance=Provenance(source="feedback", line=told.number),
            )
        )
        scrubbed += len(found)
        return task.check_sample(clean)

    given = sample(answer.output)
    if event.kind == "edited":
        edited = sample(event.edited_to or {})
        if edited.output == given.output:
            return [_Claim(told, given, True, 2)], [], scrubbed
        return [_Claim(told, edited, True, 0)], [_Pair(told, edited, given)], scrubbed
    if event.kind == "chosen":
        others = [sample(other) for other in event.among]
        return (
            [_Claim(told, given, True, 1)],
            [_Pair(told, given, other) for other in others if other.output != given.output],
            scrubbed,
        )
    stood = told.stood
    return [] if stood is None else [_Claim(told, given, stood, 2)], [], scrubbed


def _apart(
    claims: list[_Claim], pairs: list[_Pair], held_out: Sequence[Sample], left: list[LeftOut]
) -> tuple[list[_Claim], list[_Pair]]:
    """Without what is like the held-out data."""
    samples = [claim.sample for claim in claims] + [pair.better for pair in pairs] + [pair.worse for pair in pairs]
    tolds = [claim.told for claim in claims] + [pair.told for pair in pairs] * 2
    found = leaks(samples, held_out)
    gone = {tolds[place].number: (tolds[place], twin) for place, twin in found.items()}
    for told, twin in gone.values():
        shown, _ = scrub(value_text(twin.input))
        left.append(_left(told, "held_out", f"it is like the held-out input {shown[:80]}"))
    return [c for c in claims if c.told.number not in gone], [p for p in pairs if p.told.number not in gone]


def _settled(task: TaskContract, claims: list[_Claim], left: list[LeftOut]) -> list[_Claim]:
    """Claims that no majority speaks against."""
    of_output: dict[tuple[str, str], list[_Claim]] = {}
    for claim in claims:
        of_output.setdefault((_input(claim), _output(claim)), []).append(claim)
    kept: list[_Claim] = []
    for group in of_output.values():
        yes, no = ({c.told.who for c in group if c.good is side} for side in (True, False))
        for side, votes in ((True, (len(yes), len(no))), (False, (len(no), len(yes)))):
            kept += _winners([(c, *votes) for c in group if c.good is side], left)
    if task.kind not in ONE_RIGHT:
        return kept
    of_input: dict[str, dict[str, set[str]]] = {}
    for claim in kept:
        if claim.good:
            of_input.setdefault(_input(claim), {}).setdefault(_output(claim), set()).add(claim.told.who)

    counted = []
    for claim in kept:
        mine, theirs = 1, 0
        if claim.good:
            rivals = of_input[_input(claim)]
            mine = len(rivals[_output(claim)])
            theirs = max((len(users) for output, users in rivals.items() if output != _output(claim)), default=0)
        counted.append((claim, mine, theirs))
    return _winners(counted, left)


def _winners(counted: list[tuple[_Claim, int, int]], left: list[LeftOut]) -> list[_Claim]:
    """Claims with more users for than against."""
    kept = []
    for claim, mine, theirs in counted:
        if mine > theirs:
            kept.append(claim)
        else:
            left.append(_left(claim.told, "conflict", f"{theirs} users say otherwise, and {mine} say so"))
    return kept


def _preferences(pairs: list[_Pair], left: list[LeftOut]) -> tuple[Preference, ...]:
    """Each pair once, in the direction of its majority."""
    users: dict[tuple[str, str, str], set[str]] = {}
    for pair in pairs:
        users.setdefault(_direction(pair), set()).add(pair.told.who)
    made: dict[tuple[str, str, str], Preference] = {}
    for pair in pairs:
        asked, better, worse = key = _direction(pair)
        mine, theirs = len(users[key]), len(users.get((asked, worse, better), ()))
        if mine <= theirs:
            left.append(_left(pair.told, "conflict", f"{theirs} users prefer the other, and {mine} this"))
        elif key not in made:
            made[key] = Preference(
                task=pair.better.task,
                input=pair.better.input,
                chosen=pair.better.output,
                rejected=pair.worse.output,
                language=pair.better.language,
                provenance=pair.better.provenance,
            )
    return tuple(made.values())


def _judged(claims: list[_Claim]) -> tuple[Feedback, ...]:
    """Each judged output once, without who judged it: what is learnt from names nobody."""
    made: dict[tuple[str, str], Feedback] = {}
    for claim in claims:
        key = (_input(claim), _output(claim))
        if key not in made:
            made[key] = Feedback(
                task=claim.sample.task,
                input=claim.sample.input,
                answer=claim.sample.output,
                event=FeedbackEvent.ACCEPTED if claim.good else FeedbackEvent.REJECTED,
                language=claim.sample.language,
                provenance=claim.sample.provenance,
            )
    return tuple(made.values())


def _left(told: Told, rule: Rule, reason: str) -> LeftOut:
    return LeftOut(number=told.number, answer=told.answer.id, rule=rule, reason=reason)


def _input(claim: _Claim) -> str:
    return normal(value_text(claim.sample.input))


def _output(claim: _Claim) -> str:
    return normal(value_text(claim.sample.output))


def _direction(pair: _Pair) -> tuple[str, str, str]:
    return value_text(pair.better.input), value_text(pair.better.output), value_text(pair.worse.output)


def _line(sample: Sample) -> int:
    return (sample.provenance.line if sample.provenance else None) or 0
