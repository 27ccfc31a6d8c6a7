"""The plan of a run follows from its recipe alone."""

import pytest

from metier.contracts import Recipe
from metier.training.schedule import batches, evaluation_steps, learning_rate


def test_each_epoch_takes_every_sample_once_in_another_order() -> None:
    recipe = Recipe(epochs=2, batch_size=4)
    plan = batches(recipe, ["a.b"] * 10)
    assert [len(b) for b in plan] == [4, 4, 2, 4, 4, 2]
    first, second = ([i for batch in plan[start : start + 3] for i in batch] for start in (0, 3))
    assert sorted(first) == sorted(second) == list(range(10)) and first != second
    assert plan == batches(recipe, ["a.b"] * 10) != batches(recipe.model_copy(update={"seed": 1}), ["a.b"] * 10)


def test_a_part_of_an_epoch_is_that_part_of_its_steps() -> None:
    tasks = ["a.b"] * 40
    assert len(batches(Recipe(epochs=0.5, batch_size=4), tasks)) == 5
    assert len(batches(Recipe(epochs=1.5, batch_size=4), tasks)) == 15
    assert len(batches(Recipe(epochs=0.01, batch_size=4), tasks)) == 1


def test_a_batch_is_of_one_task_and_every_epoch_mixes_the_batches_of_all() -> None:
    tasks = ["shop.reply"] * 40 + ["shop.intent"] * 10
    plan = batches(Recipe(epochs=2, batch_size=4), tasks)
    assert all(len({tasks[i] for i in batch}) == 1 for batch in plan)
    assert sorted(i for batch in plan for i in batch) == sorted([*range(50), *range(50)])
    order = [tasks[batch[0]] for batch in plan]
    assert [order.count(task) for task in ("shop.reply", "shop.intent")] == [20, 6]
    assert order[:13] != order[13:] and order[:10] != ["shop.reply"] * 10


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_the_rate_warms_up_to_its_peak_and_never_rises_after(schedule: str) -> None:
    recipe = Recipe(schedule=schedule, warmup_ratio=0.1, learning_rate=1.0)
    rates = [learning_rate(recipe, step, 50) for step in range(50)]
    assert rates[:6] == sorted(rates[:6]) and rates[5] == 1.0
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] == 1.0 if schedule == "constant" else 0 < rates[-1] < 0.05


def test_the_last_step_is_always_evaluated() -> None:
    assert evaluation_steps(Recipe(evaluations=4), 60) == {15, 30, 45, 60}
    assert evaluation_steps(Recipe(evaluations=4), 2) == {1, 2}
