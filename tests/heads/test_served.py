"""Heads through the engine: the calls, errors, checks and recorder of text, one pass over a text, texts as vectors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metier.contracts import Check, ContractError, Finding, FineTune, RequestError, Sample, TaskContract, UsageError
from metier.export.head_entries import add_head
from metier.heads import load_head
from metier.runtime import Engine

Kinds = dict[str, tuple[TaskContract, list[Sample]]]
Maker = Callable[..., FineTune]


@pytest.fixture(scope="module")
def engine(shipped: Path) -> Any:
    with Engine(shipped, threads=1) as engine:
        yield engine


def test_every_kind_of_call_gives_the_same_answer(engine: Engine, heads: dict[str, FineTune], kinds: Kinds) -> None:
    task, samples = kinds["sort"]
    inputs = [sample.input for sample in samples[:20]]
    expected = load_head(heads["sort"].path).predict(inputs)

    async def later() -> list[Any]:
        runs = [engine.arun(task.name, input) for input in inputs]
        answers = [engine.aanswer(task.name, input) for input in inputs]
        text = [piece async for piece in engine.astream(task.name, inputs[0])]
        return [await asyncio.gather(*runs), [a.output for a in await asyncio.gather(*answers)], text]

    run, answered, text = asyncio.run(later())
    assert run == answered == list(engine.run_many(task.name, iter(inputs))) == expected
    assert [engine.run(task.name, input) for input in inputs] == expected
    assert text == list(engine.stream(task.name, inputs[0])) == [expected[0]["kind"]]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda input: engine.answer(task.name, input).output, inputs * 5)) == expected * 5


def test_an_answer_carries_probabilities_checks_and_the_head_s_name(engine: Engine, kinds: Kinds) -> None:
    task, samples = kinds["sort"]

    def no_tools(input: Any, output: Any) -> list[Finding]:
        return [Finding(message="a tool")] if output["kind"] == "a tool" else []

    given = {"text": "he has it"}
    check = Check("no_tools", (task.name,), no_tools, (given, {"kind": "a fruit"}), (given, {"kind": "a tool"}))
    found = list(engine.answer_many(task.name, [sample.input for sample in samples], [check]))
    assert {answer.attempts for answer in found} == {1} and {answer.adapter for answer in found} == {"sort"}
    assert {answer.passed for answer in found} == {True, False}
    for answer in found:
        assert answer.passed == (answer.output["kind"] == "a fruit")
        assert set(answer.probabilities) == set(task.labels)
        assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert max(answer.probabilities, key=answer.probabilities.__getitem__) == answer.output["kind"]
    assert engine.answer("tiny.find", {"text": "he lost the saw"}).probabilities == {}


def test_two_heads_over_one_text_read_it_once(shipped: Path) -> None:
    with Engine(shipped, threads=1) as engine:
        trunk = engine.heads["sort"]._trunk
        texts = ["he lost the saw", "he has the fig", "he lost the saw"]
        list(engine.run_many("tiny.sort", [{"text": text} for text in texts]))
        list(engine.run_many("tiny.find", [{"text": text} for text in texts]))
        assert trunk.passes == 2
        found = list(
            engine.run_many(
                "tiny.match", [{"query": "fig", "title": f"he {verb} fig"} for verb in ("lost", "has", "likes")]
            )
        )
        assert len(found) == 3 and trunk.passes == 2 + 1 + 3, "the query that all three share is read once"


def test_what_a_trunk_keeps_stays_within_its_bytes(shipped: Path) -> None:
    with Engine(shipped, threads=1) as engine:
        trunk = engine.heads["sort"]._trunk
        trunk._cache_bytes = 10_000
        list(engine.run_many("tiny.sort", [{"text": "he lost the saw " + "fig " * (n % 9)} for n in range(40)]))
        assert trunk._bytes == sum(a.nbytes for cached in trunk._cache.values() for a in cached.values()) <= 10_000


def test_texts_become_vectors_of_length_one(engine: Engine, heads: dict[str, FineTune]) -> None:
    texts = ["fig", "he lost the saw", "fig and pear and plum"]
    vectors = engine.embed(texts)
    head_model = load_head(heads["match"].path)
    batch = head_model.batch([head_model.item_of(text, 0) for text in texts])
    with head_model.evaluating():
        means = torch.einsum("rtw,rgt->rw", head_model.trunk.states(batch)[:, 0], batch.pool)
    expected = torch.nn.functional.normalize(means, dim=-1)
    assert vectors.shape == (3, 64) and np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(vectors, expected.numpy(), atol=1e-5)
    assert np.allclose(engine.embed(texts, head="sort"), vectors, atol=1e-6), "one frozen trunk, one pooling"
    assert engine.embed([]).shape == (0, 64)
    with pytest.raises(UsageError, match="there is no head unknown"):
        engine.embed(texts, head="unknown")
    with pytest.raises(RequestError, match="more than 64"):
        engine.embed(["fig " * 100])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.5}, "takes no temperature"),
        ({"max_tokens": 4, "seed": 1}, "takes no max_tokens, seed"),
        ({"adapter": "find"}, r"the head find answers tiny\.find, not tiny\.sort"),
        ({"adapter": "base"}, "contains heads only"),
    ],
)
def test_what_a_head_has_no_use_for_is_refused(engine: Engine, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        engine.run("tiny.sort", {"text": "he lost the saw"}, **options)


def test_invalid_requests_raise_the_same_errors_as_for_text(engine: Engine) -> None:
    with pytest.raises(ContractError, match=r"input does not satisfy tiny\.sort"):
        engine.run("tiny.sort", {"words": "he lost the saw"})
    with pytest.raises(RequestError, match="more than 64"):
        engine.run("tiny.sort", {"text": "the fig " * 40})
    with pytest.raises(ContractError, match=r"'pear'.* does not occur in text"):
        engine.run("tiny.relate", {"text": "the fig , then the saw", "first": "pear", "second": "saw"})
    with pytest.raises(UsageError, match="answered by the head sort"):
        engine.request("tiny.sort", {"text": "he lost the saw"})
    assert engine.run("tiny.find", {"text": ""}) == {"spans": []}


def test_the_recorder_receives_the_input_and_the_output_of_the_head(shipped: Path) -> None:
    class Recorder:
        def __init__(self) -> None:
            self.given: list[Any] = []

        def record(self, given: Any) -> str:
            self.given.append(given)
            return f"id{len(self.given)}"

    recorder = Recorder()
    with Engine(shipped, threads=1, recorder=recorder) as engine:
        answer = engine.answer("tiny.sort", {"text": "he lost the saw"})
        engine.run("tiny.sort", {"text": "he has the fig"})
    assert answer.id == "id1" and [given.prompt for given in recorder.given] == ["he lost the saw", "he has the fig"]
    assert recorder.given[0].output == answer.output and recorder.given[0].adapter == "sort"


def test_several_heads_of_one_task_are_selected_by_name(
    copied: Path, make_head: Maker, tiny_encoder: Path, tmp_path: Path
) -> None:
    other = make_head("sort", tiny_encoder, tmp_path / "other", "features", "all")
    add_head(copied, other.path, "other")
    with Engine(copied, threads=1) as engine:
        with pytest.raises(UsageError, match=r"2 adapters or heads were trained for tiny\.sort"):
            engine.run("tiny.sort", {"text": "he lost the saw"})
        assert engine.answer("tiny.sort", {"text": "he lost the saw"}, adapter="other").adapter == "other"


def test_of_many_inputs_those_before_a_wrong_one_are_answered(engine: Engine) -> None:
    inputs = [{"text": "he lost the saw"}] * 3 + [{"text": "the fig " * 40}, {"text": "he has the fig"}]
    answers = engine.run_many("tiny.sort", iter(inputs))
    assert [next(answers)["kind"] for _ in range(3)] == [engine.run("tiny.sort", inputs[0])["kind"]] * 3
    with pytest.raises(RequestError, match="more than 64"):
        next(answers)
