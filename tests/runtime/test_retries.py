"""Answers with checks: an input is predicted again while a check finds something, and the best output wins."""

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


def test_an_answer_that_passes_is_the_one_that_run_gives_after_one_attempt(engine: Engine) -> None:
    answer = engine.answer("tiny.copy", FACTS, [check(lambda text: 0)])
    assert (answer.output, answer.findings, answer.attempts) == (engine.run("tiny.copy", FACTS), {"things": ()}, 1)
    assert (answer.task, answer.input, answer.adapter, answer.passed) == ("tiny.copy", FACTS, None, True)
    assert answer.bundle == engine.bundle.manifest.name


def test_a_failed_check_is_retried_at_a_rising_temperature_until_one_passes(engine: Engine) -> None:
    first = engine.run("tiny.copy", FACTS)["text"]
    answer = engine.answer("tiny.copy", FACTS, [check(lambda text: int(text == first))], retries=5)
    assert answer.passed and answer.output["text"] != first and 1 < answer.attempts <= 6
    again = engine.answer("tiny.copy", FACTS, [check(lambda text: int(text == first))], retries=5)
    assert content(again) == content(answer)


def test_the_answer_with_the_fewest_findings_wins_and_the_first_of_equals(engine: Engine) -> None:
    seen: list[str] = []
    counts = [3, 1, 2, 1]

    def find(text: str) -> int:
        seen.append(text)
        return counts[len(seen) - 1]

    answer = engine.answer("tiny.copy", FACTS, [check(find)], retries=3)
    assert answer.output["text"] == seen[1]
    assert (answer.finding_count, answer.passed, answer.attempts) == (1, False, 4)


def test_without_retries_findings_are_only_reported(engine: Engine) -> None:
    answer = engine.answer("tiny.copy", FACTS, [check(lambda text: 2)], retries=0)
    assert answer.output == engine.run("tiny.copy", FACTS)
    assert [finding.message for finding in answer.findings["things"]] == ["thing 0", "thing 1"]


def test_many_answers_come_in_order_each_with_its_own_attempts(engine: Engine) -> None:
    inputs = [{"facts": f"mug {n}"} for n in range(20)]
    firsts = [output["text"] for output in engine.run_many("tiny.copy", inputs)]
    wrong = {firsts[n] for n in range(0, 20, 3)}
    checks = [check(lambda text: int(text in wrong))]
    together = list(engine.answer_many("tiny.copy", iter(inputs), checks, retries=3))
    assert [answer.output["text"] for answer in together if answer.attempts == 1] == [
        t for t in firsts if t not in wrong
    ]
    one_by_one = [engine.answer("tiny.copy", input, checks, retries=3) for input in inputs]
    assert list(map(content, together)) == list(map(content, one_by_one))

    async def calls() -> list[Answer]:
        requests = (engine.aanswer("tiny.copy", input, checks, retries=3) for input in inputs)
        return list(await asyncio.gather(*requests))

    assert list(map(content, asyncio.run(calls()))) == list(map(content, together))


def test_an_answer_that_is_retried_does_not_stall_those_behind_it(engine: Engine) -> None:
    order: list[str] = []

    def find(text: str) -> int:
        order.append(text)
        return 1

    inputs = [{"facts": f"mug {n}"} for n in range(6)]
    list(engine.answer_many("tiny.copy", inputs, [check(find)], retries=1))
    firsts = [output["text"] for output in engine.run_many("tiny.copy", inputs)]
    # Every first answer but those that ended last was judged before the second attempts.
    assert len(order) == 12 and set(order[:4]) <= set(firsts)


def test_where_no_reply_is_valid_the_first_error_is_raised(engine: Engine) -> None:
    with pytest.raises(RequestError, match="a short reply of this form takes"):
        engine.answer("tiny.item", FACTS, max_tokens=2)
    with pytest.raises(ContractError, match="facts"):
        engine.answer("tiny.copy", {"fact": "x"})


def test_a_deadline_holds_for_all_attempts_together(engine: Engine) -> None:
    answer = engine.answer("tiny.copy", FACTS, [check(lambda text: 1)], retries=10_000, deadline=0.3)
    assert not answer.passed and answer.attempts < 10_000


def test_a_broken_check_is_named_and_not_retried(engine: Engine) -> None:
    with pytest.raises(PluginError, match="things failed with ZeroDivisionError"):
        engine.answer("tiny.copy", FACTS, [check(lambda text: 1 // 0)])
