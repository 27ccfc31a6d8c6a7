"""What a harvest says against what was learnt before: samples of the pool that are not to be learnt again, so that a
label accepted last week and corrected today is not trained both ways."""

from __future__ import annotations

from collections.abc import Sequence

from metier.contracts import FeedbackEvent, Provenance, Sample, TaskContract, Value
from metier.data.deduplicate import value_text
from metier.data.near_duplicates import normal
from metier.feedback.harvest import ONE_RIGHT, Harvest, LeftOut


def overrule(task: TaskContract, pool: Sequence[Sample], said: Harvest) -> tuple[list[Sample], tuple[LeftOut, ...]]:
    """The pool without what a harvest speaks against, and that, each with the event that does.

    A sample goes where its very output is rejected now; where a task has one right output (labels, spans, relations)
    also where another is right for its input now. Within the harvest the majority of users has decided already.

    Args:
        task: the contract.
        pool: all that the champion and its ancestors learnt.
        said: the new harvest.
    """
    rejected = {
        (_text(item.input), _text(item.answer)): _event(item.provenance)
        for item in said.judged
        if item.event is FeedbackEvent.REJECTED
    }
    right = {_text(new.input): new for new in said.samples} if task.kind in ONE_RIGHT else {}
    kept: list[Sample] = []
    left: list[LeftOut] = []
    for sample in pool:
        asked, output = _text(sample.input), _text(sample.output)
        new = right.get(asked)
        if (asked, output) in rejected:
            reason = f"event {rejected[asked, output]} rejects it"
        elif new is not None and _text(new.output) != output:
            reason = f"event {_event(new.provenance)} says that {value_text(new.output)[:80]} is right"
        else:
            kept.append(sample)
            continue
        left.append(LeftOut(number=_event(sample.provenance), answer="", rule="overruled", reason=reason))
    return kept, tuple(left)


def _text(value: Value) -> str:
    return normal(value_text(value))


def _event(place: Provenance | None) -> int:
    """Number of the event that a sample came from; 0 where it came from none."""
    return (place.line or 0) if place is not None and place.source == "feedback" else 0
