"""Samples of the pool that new feedback contradicts: a label accepted last week and corrected today must not be trained
both ways."""

from __future__ import annotations

from collections.abc import Sequence

from metier.contracts import Provenance, Sample, TaskContract, Value
from metier.data.deduplicate import value_text
from metier.data.near_duplicates import normal
from metier.feedback.training_data import ONE_RIGHT_OUTPUT, FeedbackData, LeftOut


def drop_overruled(
    task: TaskContract, pool: Sequence[Sample], new: FeedbackData
) -> tuple[list[Sample], tuple[LeftOut, ...]]:
    """(the pool without the samples that new feedback contradicts, those samples with the event that does).

    A sample is dropped where its output is rejected now. Where a task has one right output (labels, spans, relations)
    it is also dropped where another output is right for its input now. Conflicts within the new feedback are already
    decided by the majority of users.

    Args:
        task: the contract.
        pool: everything that the champion and its ancestors were trained on.
        new: what the new feedback teaches.
    """
    rejected = {
        (_text(item.input), _text(item.output)): _event_number(item.provenance) for item in new.judged if not item.good
    }
    right = {_text(sample.input): sample for sample in new.samples} if task.kind in ONE_RIGHT_OUTPUT else {}
    kept: list[Sample] = []
    left: list[LeftOut] = []
    for sample in pool:
        input, output = _text(sample.input), _text(sample.output)
        correction = right.get(input)
        if (input, output) in rejected:
            reason = f"event {rejected[input, output]} rejects it"
        elif correction is not None and _text(correction.output) != output:
            number = _event_number(correction.provenance)
            reason = f"event {number} says that {value_text(correction.output)[:80]} is right"
        else:
            kept.append(sample)
            continue
        left.append(LeftOut(number=_event_number(sample.provenance), answer="", rule="overruled", reason=reason))
    return kept, tuple(left)


def _text(value: Value) -> str:
    return normal(value_text(value))


def _event_number(place: Provenance | None) -> int:
    """Number of the event that a sample came from; 0 where it did not come from feedback."""
    return (place.line or 0) if place is not None and place.source == "feedback" else 0
