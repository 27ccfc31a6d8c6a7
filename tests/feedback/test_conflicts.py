"""Samples that new feedback contradicts leave the pool: a corrected label, a rejected answer."""

import pytest

from metier.contracts import JudgedSample, Provenance, Sample, TaskContract, TaskKind
from metier.feedback import FeedbackData
from metier.feedback.conflicts import drop_overruled


def sample(text: str, label: str, event: int | None = None) -> Sample:
    source = None if event is None else Provenance(source="feedback", line=event)
    return Sample(task="mail.sort", input={"text": text}, output={"label": label}, provenance=source)


def feedback(*new: Sample, rejected: tuple[Sample, ...] = ()) -> FeedbackData:
    judged = tuple(JudgedSample(**dict(sample), good=False) for sample in rejected)
    return FeedbackData(
        task="mail.sort", samples=new, preferences=(), judged=judged, left_out=(), scrubbed=0, events=9, until=99
    )


POOL = [sample("Win a prize", "ham", 7), sample("Lunch at one?", "ham"), sample("Your invoice", "ham", 8)]


@pytest.mark.parametrize(("kind", "left"), [(TaskKind.CLASSIFY, [7]), (TaskKind.GENERATE, [])])
def test_a_corrected_label_is_not_trained_both_ways(task: TaskContract, kind: TaskKind, left: list[int]) -> None:
    mail = task.model_copy(update={"name": "mail.sort", "kind": kind})
    kept, out = drop_overruled(
        mail, POOL, feedback(sample("win a  PRIZE", "spam", 90), sample("Your invoice", "ham", 91))
    )
    assert [item.number for item in out] == left and [s for s in POOL if s not in kept] == POOL[: len(left)]
    assert all(item.rule == "overruled" and "event 90" in item.reason for item in out)


def test_a_rejected_answer_leaves_the_pool_for_every_kind_of_task(task: TaskContract) -> None:
    kept, out = drop_overruled(task, POOL, feedback(rejected=(sample("Lunch at one?", "ham", 92),)))
    assert kept == [POOL[0], POOL[2]]
    assert [(item.number, item.rule) for item in out] == [(0, "overruled")] and "event 92" in out[0].reason
