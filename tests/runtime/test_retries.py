"""Answers held to checks: asked again while something is found, the best one wins, and nobody else waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from metier.contracts import Check, ContractError, Finding, PluginError, RequestError
from metier.runtime import Answer, Engine

FACTS = {"facts": "a blue mug"}


def check(find: Callable[[str], int]) -> Check:
    """A check that finds so many things in a text."""

    def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> list[Finding]:
        return [Finding(message=f"thing {n}") for n in range(find(output["text"]))]

    return Check("things", ("tiny.copy",), run, (FACTS, {"text": "a"}), (FACTS, {"text": ""}))


def content(answer: Answer) -> dict[str, Any]:
    """An answer without what differs from call to call."""
    return answer.model_dump(exclude={"id", "at"})


def test_an_answer_that_passes_is_the_one_that_run_gives_and_is_asked_once(engine: Engine) -> None:
    made = engine.answer("tiny.copy", FACTS, [check(lambda text: 0)])
    assert (made.output, made.findings, made.attempts) == (engine.run("tiny.copy", FACTS), {"things": ()}, 1)
    assert (made.task, made.input, made.adapter, made.passed) == ("tiny.copy", FACTS, None, True)
    assert made.bundle == engine.bundle.manifest.name


def test_a_failed_check_is_tried_again_with_rising_temperature_and_stops_where_one_passes(engine: Engine) -> None:
    first = engine.run("tiny.copy", FACTS)["text"]
    made = engine.answer("tiny.copy", FACTS, [check(lambda text: int(text == first))], retries=5)
    assert made.passed and made.output["text"] != first and 1 < made.attempts <= 6
    again = engine.answer("tiny.copy", FACTS, [check(lambda text: int(text == first))], retries=5)
    assert content(again) == content(made)


def test_the_answer_with_the_fewest_findings_wins_and_the_first_of_equals(engine: Engine) -> None:
    seen: list[str] = []
    counts = [3, 1, 2, 1]

    def find(text: str) -> int:
        seen.append(text)
        return counts[len(seen) - 1]

    made = engine.answer("tiny.copy", FACTS, [check(find)], retries=3)
    assert made.output["text"] == seen[1]
    assert (made.finding_count, made.passed, made.attempts) == (1, False, 4)


def test_no_retries_only_reports(engine: Engine) -> None:
    made = engine.answer("tiny.copy", FACTS, [check(lambda text: 2)], retries=0)
    assert made.output == engine.run("tiny.copy", FACTS)
    assert [finding.message for finding in made.findings["things"]] == ["thing 0", "thing 1"]


def test_many_answers_come_in_order_each_with_its_own_tries(engine: Engine) -> None:
    inputs = [{"facts": f"mug {n}"} for n in range(20)]
    firsts = [made["text"] for made in engine.run_many("tiny.copy", inputs)]
    wrong = {firsts[n] for n in range(0, 20, 3)}
    guard = [check(lambda text: int(text in wrong))]
    together = list(engine.answer_many("tiny.copy", iter(inputs), guard, retries=3))
    assert [made.output["text"] for made in together if made.attempts == 1] == [t for t in firsts if t not in wrong]
    one_by_one = [engine.answer("tiny.copy", input, guard, retries=3) for input in inputs]
    assert list(map(content, together)) == list(map(content, one_by_one))

    async def story() -> list[Answer]:
        asked = (engine.aanswer("tiny.copy", input, guard, retries=3) for input in inputs)
        return list(await asyncio.gather(*asked))

    assert list(map(content, asyncio.run(story()))) == list(map(content, together))


def test_an_answer_that_is_asked_again_does_not_stall_those_behind_it(engine: Engine) -> None:
    order: list[str] = []

    def find(text: str) -> int:
        order.append(text)
        return 1

    inputs = [{"facts": f"mug {n}"} for n in range(6)]
    list(engine.answer_many("tiny.copy", inputs, [check(find)], retries=1))
    firsts = [made["text"] for made in engine.run_many("tiny.copy", inputs)]
    # Every first answer but those that ended last was judged before the second tries.
    assert len(order) == 12 and set(order[:4]) <= set(firsts)


def test_where_no_try_is_whole_the_first_error_is_raised(engine: Engine) -> None:
    with pytest.raises(RequestError, match="a short reply of this form takes"):
        engine.answer("tiny.item", FACTS, max_tokens=2)
    with pytest.raises(ContractError, match="facts"):
        engine.answer("tiny.copy", {"fact": "x"})


def test_a_deadline_holds_for_all_tries_together(engine: Engine) -> None:
    made = engine.answer("tiny.copy", FACTS, [check(lambda text: 1)], retries=10_000, deadline=0.3)
    assert not made.passed and made.attempts < 10_000


def test_a_broken_check_is_named_and_not_tried_again(engine: Engine) -> None:
    with pytest.raises(PluginError, match="things failed with ZeroDivisionError"):
        engine.answer("tiny.copy", FACTS, [check(lambda text: 1 // 0)])
