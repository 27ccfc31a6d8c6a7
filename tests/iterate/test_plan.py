"""The plan: the curve finds a law that is known, its intervals hold what they should, and the rate is that of days."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from pydantic import BaseModel

from metier.contracts import TaskContract, UsageError
from metier.feedback import Answer, Event
from metier.feedback.harvest import harvest
from metier.feedback.records import Told
from metier.iterate.curve import Point, fit, measure
from metier.iterate.plan import arrival, new_facts, plan


def runs(sizes, seeds: int, noise: float, seed: int = 0, law=(1.0, 4.0, 0.5)) -> list[Point]:
    rng, (floor, gap, rate) = np.random.default_rng(seed), law
    return [
        Point(samples=n, seed=s, loss=floor + gap * n**-rate + rng.normal(0, noise))
        for n in sizes
        for s in range(seeds)
    ]


def test_a_law_without_noise_is_found_again() -> None:
    curve = fit(runs((16, 32, 64, 128, 256), 1, 0.0))
    for n in (20, 100, 400):
        assert abs(curve.loss(n).value - (1 + 4 * n**-0.5)) < 0.01
    more, fewest, most = curve.more_for(100, 0.1)  # 1.4 to 1.3: 100 to 178 samples
    assert 70 <= more <= 86 and fewest <= more <= most


def test_an_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    held = [
        curve.loss(300).low <= 1 + 4 * 300**-0.5 <= curve.loss(300).high
        for curve in (fit(runs((16, 32, 64, 128), 4, 0.02, seed)) for seed in range(30))
    ]
    assert sum(held) >= 24  # 95% are meant; four sizes and four seeds give some less


def test_what_does_not_come_down_is_not_promised() -> None:
    flat = fit([Point(samples=n, seed=s, loss=1.3) for n in (10, 20, 40) for s in range(2)])
    assert flat.more_for(40, 0.05) == (None, None, None)
    steep = fit(runs((16, 32, 64), 2, 0.0))
    assert steep.more_for(64, 0.49)[0] is None  # 1.5 to 1.01: 160,000 samples, beyond what may be said


def test_fewer_than_three_sizes_are_no_curve() -> None:
    with pytest.raises(UsageError, match="three sizes"):
        fit(runs((10, 20), 3, 0.01))


def day(number: int) -> datetime:
    return datetime(2030, 1, 1, 18, tzinfo=UTC) + timedelta(days=number)


def feedback(per_day: list[int]) -> list[Told]:
    told: list[Told] = []
    for day, count in enumerate(per_day):
        for i in range(count):
            facts = f"item {day * 1000 + i * 7} of oak, number {i * i + day}"
            answer = Answer(task="shop.describe", input={"facts": facts}, output={"text": facts[::-1]}, consent=True)
            at = datetime(2030, 1, 1, 12, tzinfo=UTC) + timedelta(days=day, minutes=i)
            told.append(
                Told(number=len(told) + 1, answer=answer, event=Event(answer=answer.id, kind="accepted", at=at))
            )
    return told


def test_the_rate_counts_days_without_feedback_and_forgets_what_is_long_ago(task) -> None:
    found = arrival(task, feedback([6, 0, 0, 6]), [], now=day(3))
    assert (found.days, found.samples, found.per_day.value) == (4, 12, 3.0)
    assert found.per_day.low < 3 < found.per_day.high
    assert arrival(task, feedback([30, *[0] * 39, 4]), [], now=day(40)).samples == 4
    assert arrival(task, [], []).per_day.value == 0


def test_a_day_that_has_only_begun_is_no_day_without_feedback(task) -> None:
    morning = day(2) - timedelta(hours=10)
    assert arrival(task, feedback([6, 4]), [], now=morning).per_day.value == 5.0
    assert arrival(task, feedback([6, 4, 0, 0]), [], now=morning + timedelta(days=1)).per_day.value == 10 / 3


def test_feedback_that_dried_up_promises_nothing(task) -> None:
    told = feedback([5, 5, 5, 5])
    assert arrival(task, told, [], now=day(7)).per_day.value == 20 / 7
    months_later = arrival(task, told, [], now=day(120))
    assert (months_later.days, months_later.samples, months_later.per_day.value) == (28, 0, 0.0)
    curve = fit(runs((16, 32, 64, 128, 256), 2, 0.001))
    assert plan(task, curve, told, [], samples_now=100, gain=0.1, now=day(120)).days is None
    assert arrival(task, told, []).samples == 0, "now is now, unless it is said otherwise"


def test_what_is_refused_or_was_there_already_does_not_arrive(task) -> None:
    told = feedback([4, 4])
    assert arrival(task, told, [], now=day(1), refused=[(1, 3)]).samples == 5
    learnt = harvest(task, told[:4]).samples  # of the first day: they did arrive
    given = [s.model_copy(update={"provenance": None}) for s in harvest(task, told[4:6]).samples]
    assert arrival(task, told, [], now=day(1), pool=[*given, *learnt]).samples == 6


def test_a_plan_says_samples_and_days_and_which_well(task) -> None:
    curve = fit(runs((16, 32, 64, 128, 256), 2, 0.001))
    made = plan(task, curve, feedback([5, 5, 5, 5]), [], samples_now=100, gain=0.1, now=day(3))
    assert made.days == pytest.approx(made.more / 5, abs=0.1) and 10 < made.days < 20
    assert made.days_interval[0] <= made.days <= made.days_interval[1] and made.well == "feedback"
    fresh = task.model_copy(update={"fresh_facts": True})
    assert plan(fresh, curve, [], [], samples_now=100, gain=0.1).well == "search"
    assert plan(task, curve, [], [], samples_now=100, gain=0.1).days is None


def edit(facts: str, answer: str, edited: str) -> Told:
    given = Answer(task="a.b", input={"facts": facts}, output={"text": answer})
    return Told(number=1, answer=given, event=Event(answer=given.id, kind="edited", edited_to={"text": edited}))


@pytest.mark.parametrize(
    ("edited", "brings"),
    [
        ("Lovely blue mug from Leeds.", False),
        ("A mug, blue. Made with love in Leeds.", False),
        ("A blue mug that holds 350 ml.", True),
        ("A blue mug made in Sheffield.", True),
    ],
)
def test_a_new_fact_is_a_number_or_a_name_that_nobody_gave(edited: str, brings: bool) -> None:
    assert new_facts([edit("blue mug, Leeds", "Mug.", edited)]) == float(brings)
    assert new_facts([]) is None


@pytest.mark.parametrize(
    ("edited", "brings"),
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
def test_chinese_names_and_numbers_are_facts_too(edited: str, brings: bool) -> None:
    assert new_facts([edit("马克杯（mug），蓝色，杭州市", "马克杯。", edited)]) == float(brings)


def test_a_task_that_is_answered_from_documents_draws_on_search(task) -> None:
    class Asked(BaseModel):
        facts: str
        passages: list[str]

    curve = fit(runs((16, 32, 64), 2, 0.001))
    grounded = TaskContract(**{**task.model_dump(), "input": Asked})
    assert grounded.takes_passages

    def well(of, *edits) -> tuple[str, str]:
        made = plan(of, curve, edits, [], samples_now=50, gain=0.1)
        return made.well, made.why

    fact, wording = edit("blue mug", "Mug.", "A mug of 350 ml."), edit("blue mug", "Mug.", "A blue mug.")
    assert well(grounded)[0] == well(grounded, fact)[0] == "search" and well(grounded, wording)[0] == "both"
    assert well(task, wording)[0] == "feedback"
    assert well(task, fact)[0] == "search" and "field `passages`" in well(task, fact)[1]
    assert "field `passages`" not in well(grounded, fact)[1]


def test_a_curve_is_measured_and_an_interrupted_one_goes_on(task, samples, recipe, tmp_path, monkeypatch) -> None:
    options = {"recipe": recipe.model_copy(update={"epochs": 6}), "seeds": 1, "folder": tmp_path}
    measure(task, samples[:64], samples[64:], sizes=(4, 16), **options)
    points = measure(task, samples[:64], samples[64:], sizes=(4, 16, 64), **options)
    assert points[0].loss > points[2].loss and len(list(tmp_path.glob("*.json"))) == 3
    monkeypatch.setattr("metier.adapt.fine_tuning.adapt", None)  # whoever trains now, fails
    assert measure(task, samples[:64], samples[64:], sizes=(4, 16, 64), **options) == points
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
