"""The plan: the curve recovers a known law, its intervals hold the true value, and the rate counts days."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from pydantic import BaseModel

from metier.contracts import Answer, FeedbackEvent, TaskContract, UsageError
from metier.feedback.stored_event import StoredEvent
from metier.feedback.training_data import collect_feedback
from metier.iterate.curve import Point, fit, measure
from metier.iterate.plan import arrival, new_facts, plan


def runs(sizes, seeds: int, noise: float, seed: int = 0, law=(1.0, 4.0, 0.5)) -> list[Point]:
    rng, (floor, gap, rate) = np.random.default_rng(seed), law
    return [
        Point(samples=n, seed=s, loss=floor + gap * n**-rate + rng.normal(0, noise))
        for n in sizes
        for s in range(seeds)
    ]


def test_a_law_without_noise_is_recovered() -> None:
    curve = fit(runs((16, 32, 64, 128, 256), 1, 0.0))
    for n in (20, 100, 400):
        assert abs(curve.loss(n).value - (1 + 4 * n**-0.5)) < 0.01
    more, fewest, most = curve.more_for(100, 0.1)  # 1.4 to 1.3: 100 to 178 samples
    assert 70 <= more <= 86 and fewest <= more <= most


def test_an_interval_holds_the_true_value_as_often_as_stated() -> None:
    held = [
        curve.loss(300).low <= 1 + 4 * 300**-0.5 <= curve.loss(300).high
        for curve in (fit(runs((16, 32, 64, 128), 4, 0.02, seed)) for seed in range(30))
    ]
    assert sum(held) >= 24  # 95% are meant; four sizes and four seeds give some less


def test_a_flat_curve_predicts_no_gain() -> None:
    flat = fit([Point(samples=n, seed=s, loss=1.3) for n in (10, 20, 40) for s in range(2)])
    assert flat.more_for(40, 0.05) == (None, None, None)
    steep = fit(runs((16, 32, 64), 2, 0.0))
    assert steep.more_for(64, 0.49)[0] is None  # 1.5 to 1.01: 160,000 samples, beyond the predicted range


def test_fewer_than_three_sizes_raise() -> None:
    with pytest.raises(UsageError, match="three sizes"):
        fit(runs((10, 20), 3, 0.01))


def day(number: int) -> datetime:
    return datetime(2030, 1, 1, 18, tzinfo=UTC) + timedelta(days=number)


def feedback(per_day: list[int]) -> list[StoredEvent]:
    events: list[StoredEvent] = []
    for day, count in enumerate(per_day):
        for i in range(count):
            facts = f"item {day * 1000 + i * 7} of oak, number {i * i + day}"
            answer = Answer(task="shop.describe", input={"facts": facts}, output={"text": facts[::-1]}, consent=True)
            at = datetime(2030, 1, 1, 12, tzinfo=UTC) + timedelta(days=day, minutes=i)
            events.append(
                StoredEvent(
                    number=len(events) + 1, answer=answer, event=FeedbackEvent(answer=answer.id, kind="accepted", at=at)
                )
            )
    return events


def test_the_rate_counts_days_without_feedback_and_ignores_old_days(task) -> None:
    found = arrival(task, feedback([6, 0, 0, 6]), [], now=day(3))
    assert (found.days, found.samples, found.per_day.value) == (4, 12, 3.0)
    assert found.per_day.low < 3 < found.per_day.high
    assert arrival(task, feedback([30, *[0] * 39, 4]), [], now=day(40)).samples == 4
    assert arrival(task, [], []).per_day.value == 0


def test_the_present_day_counts_only_once_it_has_feedback(task) -> None:
    morning = day(2) - timedelta(hours=10)
    assert arrival(task, feedback([6, 4]), [], now=morning).per_day.value == 5.0
    assert arrival(task, feedback([6, 4, 0, 0]), [], now=morning + timedelta(days=1)).per_day.value == 10 / 3


def test_feedback_that_stopped_predicts_no_date(task) -> None:
    events = feedback([5, 5, 5, 5])
    assert arrival(task, events, [], now=day(7)).per_day.value == 20 / 7
    months_later = arrival(task, events, [], now=day(120))
    assert (months_later.days, months_later.samples, months_later.per_day.value) == (28, 0, 0.0)
    curve = fit(runs((16, 32, 64, 128, 256), 2, 0.001))
    assert plan(task, curve, events, [], samples_now=100, gain=0.1, now=day(120)).days is None
    assert arrival(task, events, []).samples == 0, "the default is the present time"


def test_rejected_events_and_duplicates_of_the_pool_do_not_count(task) -> None:
    events = feedback([4, 4])
    assert arrival(task, events, [], now=day(1), rejected=[(1, 3)]).samples == 5
    trained = collect_feedback(task, events[:4]).samples  # of the first day: they did arrive
    duplicates = [s.model_copy(update={"provenance": None}) for s in collect_feedback(task, events[4:6]).samples]
    assert arrival(task, events, [], now=day(1), pool=[*duplicates, *trained]).samples == 6


def test_a_plan_gives_samples_and_days_and_how_to_improve(task) -> None:
    curve = fit(runs((16, 32, 64, 128, 256), 2, 0.001))
    planned = plan(task, curve, feedback([5, 5, 5, 5]), [], samples_now=100, gain=0.1, now=day(3))
    assert planned.days == pytest.approx(planned.more / 5, abs=0.1) and 10 < planned.days < 20
    assert planned.days_interval[0] <= planned.days <= planned.days_interval[1] and planned.improve_by == "feedback"
    fresh = task.model_copy(update={"fresh_facts": True})
    assert plan(fresh, curve, [], [], samples_now=100, gain=0.1).improve_by == "search"
    assert plan(task, curve, [], [], samples_now=100, gain=0.1).days is None


def edit(facts: str, answer: str, edited: str) -> StoredEvent:
    given = Answer(task="a.b", input={"facts": facts}, output={"text": answer})
    return StoredEvent(
        number=1, answer=given, event=FeedbackEvent(answer=given.id, kind="edited", edited_to={"text": edited})
    )


@pytest.mark.parametrize(
    ("edited", "adds"),
    [
        ("Lovely blue mug from Leeds.", False),
        ("A mug, blue. Made with love in Leeds.", False),
        ("A blue mug that holds 350 ml.", True),
        ("A blue mug made in Sheffield.", True),
    ],
)
def test_a_new_fact_is_a_number_or_a_name_missing_from_input_and_answer(edited: str, adds: bool) -> None:
    assert new_facts([edit("blue mug, Leeds", "Mug.", edited)]) == float(adds)
    assert new_facts([]) is None


@pytest.mark.parametrize(
    ("edited", "adds"),
    [
        ("蓝色马克杯，结实耐用。", False),
        ("杭州市出品的马克杯，这座城市的骄傲。", False),
        ("容量350毫升的蓝色马克杯。", True),
        ("容量三百五十毫升的蓝色马克杯。", True),
        ("景德镇出品的马克杯。", True),
        ("由青山公司出品的马克杯。", True),
        ("《红楼梦》纪念马克杯。", True),
        ("由Harrow出品的马克杯。", True),
        ("Mug出品的一个马克杯。", False),
    ],
)
def test_chinese_names_and_numbers_are_facts_too(edited: str, adds: bool) -> None:
    assert new_facts([edit("马克杯（mug），蓝色，杭州市", "马克杯。", edited)]) == float(adds)


def test_a_task_that_is_answered_from_documents_improves_by_search(task) -> None:
    class Question(BaseModel):
        facts: str
        passages: list[str]

    curve = fit(runs((16, 32, 64), 2, 0.001))
    grounded = TaskContract(**{**task.model_dump(), "input": Question})
    assert grounded.takes_passages

    def improve_by(of, *edits) -> tuple[str, str]:
        planned = plan(of, curve, edits, [], samples_now=50, gain=0.1)
        return planned.improve_by, planned.why

    fact, wording = edit("blue mug", "Mug.", "A mug of 350 ml."), edit("blue mug", "Mug.", "A blue mug.")
    assert (
        improve_by(grounded)[0] == improve_by(grounded, fact)[0] == "search"
        and improve_by(grounded, wording)[0] == "both"
    )
    assert improve_by(task, wording)[0] == "feedback"
    assert improve_by(task, fact)[0] == "search" and "field `passages`" in improve_by(task, fact)[1]
    assert "field `passages`" not in improve_by(grounded, fact)[1]


def test_a_curve_is_measured_and_an_interrupted_one_resumes(task, samples, recipe, tmp_path, monkeypatch) -> None:
    options = {"recipe": recipe.model_copy(update={"epochs": 6}), "seeds": 1, "folder": tmp_path}
    measure(task, samples[:64], samples[64:], sizes=(4, 16), **options)
    points = measure(task, samples[:64], samples[64:], sizes=(4, 16, 64), **options)
    assert points[0].loss > points[2].loss and len(list(tmp_path.glob("*.json"))) == 3
    monkeypatch.setattr("metier.adapt.fine_tuning.adapt", None)  # any training now fails
    assert measure(task, samples[:64], samples[64:], sizes=(4, 16, 64), **options) == points
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
