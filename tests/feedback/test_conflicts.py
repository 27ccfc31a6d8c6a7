"""Today's feedback against what was learnt before: a corrected label and a rejected answer leave the pool."""

import pytest

from metier.contracts import Feedback, FeedbackEvent, Provenance, Sample, TaskContract, TaskKind
from metier.feedback import Harvest
from metier.feedback.conflicts import overrule


def sample(text: str, label: str, event: int | None = None) -> Sample:
    source = None if event is None else Provenance(source="feedback", line=event)
    return Sample(task="mail.sort", input={"text": text}, output={"label": label}, provenance=source)


def said(*new: Sample, rejected: tuple[Sample, ...] = ()) -> Harvest:
    judged = tuple(
        Feedback(
            task="mail.sort", input=s.input, answer=s.output, event=FeedbackEvent.REJECTED, provenance=s.provenance
        )
        for s in rejected
    )
    return Harvest(
        task="mail.sort", samples=new, preferences=(), judged=judged, left_out=(), scrubbed=0, events=9, until=99
    )


POOL = [sample("Win a prize", "ham", 7), sample("Lunch at one?", "ham"), sample("Your invoice", "ham", 8)]


@pytest.mark.parametrize(("kind", "left"), [(TaskKind.CLASSIFY, [7]), (TaskKind.GENERATE, [])])
def test_a_label_corrected_today_is_not_trained_both_ways(task: TaskContract, kind: TaskKind, left: list[int]) -> None:
    mail = task.model_copy(update={"name": "mail.sort", "kind": kind})
    kept, out = overrule(mail, POOL, said(sample("win a  PRIZE", "spam", 90), sample("Your invoice", "ham", 91)))
    assert [item.number for item in out] == left and [s for s in POOL if s not in kept] == POOL[: len(left)]
    assert all(item.rule == "overruled" and "event 90" in item.reason for item in out)


def test_an_answer_rejected_today_leaves_the_pool_whatever_the_kind(task: TaskContract) -> None:
    kept, out = overrule(task, POOL, said(rejected=(sample("Lunch at one?", "ham", 92),)))
    assert kept == [POOL[0], POOL[2]]
    assert [(item.number, item.rule) for item in out] == [(0, "overruled")] and "event 92" in out[0].reason
