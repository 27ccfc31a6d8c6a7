"""One pipeline under every call: prepared once, judged in one place, recorded before it is returned."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from metier.contracts import (
    Answer,
    Caller,
    Check,
    ContractError,
    Finding,
    MetierError,
    PluginError,
    RequestError,
    ResourceError,
    UsageError,
)
from metier.runtime import Engine
from metier.runtime.chat import chat_reply

FACTS = {"facts": "a blue mug"}
BAD = {"fact": "x"}


def check(find: Any) -> Check:
    """A check with as many findings as `find` counts in a text."""

    def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> list[Finding]:
        return [Finding(message="found")] * find(output["text"])

    return Check("count", ("tiny.copy",), run, (FACTS, {"text": "a"}), (FACTS, {"text": ""}))


class Recording:
    """A recorder in memory, which can fail."""

    def __init__(self, error: Exception | None = None) -> None:
        self.answers: list[Answer] = []
        self.error = error

    def record(self, answer: Answer) -> str:
        if self.error is not None:
            raise self.error
        self.answers.append(answer)
        return answer.id


@pytest.fixture
def recording(engine: Engine) -> Any:
    engine.recorder = Recording()
    yield engine.recorder
    engine.recorder = None


def test_run_is_the_output_of_answer(engine: Engine) -> None:
    assert engine.run("tiny.item", FACTS) == engine.answer("tiny.item", FACTS).output


def test_a_bad_row_is_yielded_in_its_place_and_names_itself(engine: Engine) -> None:
    rows = [FACTS, BAD, {"facts": "7"}, BAD]
    found = list(engine.run_many("tiny.copy", iter(rows), on_error="yield"))
    assert [isinstance(each, ContractError) for each in found] == [False, True, False, True]
    assert "row 2" in str(found[1]) and "row 4" in str(found[3])
    assert found[0] == engine.run("tiny.copy", FACTS)
    answers = list(engine.answer_many("tiny.copy", rows, on_error="yield"))
    assert [isinstance(each, Answer) for each in answers] == [True, False, True, False]


def test_the_first_bad_row_is_raised_behind_the_answers_before_it(engine: Engine) -> None:
    answers = engine.run_many("tiny.copy", [FACTS, BAD, FACTS])
    assert next(answers) == engine.run("tiny.copy", FACTS)
    with pytest.raises(ContractError, match="row 2: input does not satisfy"):
        next(answers)
    with pytest.raises(UsageError, match="on_error"):
        engine.run_many("tiny.copy", [FACTS], on_error="skip")  # type: ignore[call-overload]


def test_rows_without_end_that_all_fail_are_read_lazily(engine: Engine) -> None:
    found = engine.run_many("tiny.copy", iter(lambda: BAD, None), on_error="yield")
    assert all(isinstance(next(found), MetierError) for _ in range(300))


def test_each_row_can_have_its_own_adapter_and_language(engine: Engine) -> None:
    found = list(engine.answer_many("tiny.copy", [FACTS, FACTS], adapter=["base", None], language=["en", None]))
    assert [answer.language for answer in found] == ["en", None]
    with pytest.raises(UsageError, match="more inputs than values of adapter"):
        list(engine.run_many("tiny.copy", [FACTS, FACTS], adapter=["base"]))
    mixed = list(engine.run_many("tiny.copy", [FACTS, FACTS], adapter=["unknown", "base"], on_error="yield"))
    assert isinstance(mixed[0], UsageError) and "row 1" in str(mixed[0]) and isinstance(mixed[1], dict)


def test_an_unknown_language_names_the_contract_s_languages(engine: Engine) -> None:
    with pytest.raises(ContractError, match=r"no prompt in the language 'fr'\n.*: en"):
        engine.run("tiny.copy", FACTS, language="fr")


def test_candidates_are_drawn_over_one_prompt_and_the_fewest_findings_win(tiny_bundle: Any) -> None:
    seen: list[str] = []

    def find(text: str) -> int:
        seen.append(text)
        return len(text)

    facts = {"facts": "an oak lamp for the desk, and a mug"}
    with Engine(tiny_bundle, rows=4, max_len=300) as engine:
        scheduler = engine._session._scheduler
        answer = engine.answer("tiny.copy", facts, [check(find)], candidates=4, retries=0)
        prompt = len(engine.request("tiny.copy", facts).ids)
        assert scheduler.prefix_cache.reused_tokens == 3 * (prompt - 1), "the prompt is read once"
        assert scheduler.prefilled_tokens == prompt - 1
        assert len(seen) == answer.attempts == 4 and len(set(seen)) > 1
        assert len(str(answer.output["text"])) == min(map(len, seen))
        again = engine.answer("tiny.copy", facts, [check(len)], candidates=4, retries=0)
        assert again.output == answer.output


def test_among_equals_the_likeliest_candidate_wins_and_retries_draw_again(engine: Engine) -> None:
    answer = engine.answer("tiny.copy", FACTS, candidates=3, retries=0)
    assert answer.log_likelihood is not None and answer.log_likelihood < 0
    alone = [
        engine.submit(engine.request("tiny.copy", FACTS, temperature=0.8, top_p=0.95, seed=seed)).result()
        for seed in range(3)
    ]
    assert answer.output["text"] in [text.strip() for text in alone]
    assert engine.answer("tiny.copy", FACTS, [check(lambda text: 1)], candidates=2, retries=2).attempts == 6
    assert asyncio.run(engine.aanswer("tiny.copy", FACTS, candidates=3, retries=0)).output == answer.output
    with pytest.raises(UsageError, match="all the same"):
        engine.answer("tiny.copy", FACTS, candidates=2, temperature=0)


def test_an_input_is_prepared_once_however_often_it_is_predicted(engine: Engine, monkeypatch: Any) -> None:
    from metier.runtime import generation_predictor

    calls = []
    prompt_ids = generation_predictor.prompt_ids
    monkeypatch.setattr(generation_predictor, "prompt_ids", lambda *a, **k: calls.append(1) or prompt_ids(*a, **k))
    assert engine.answer("tiny.copy", FACTS, [check(lambda text: 1)], retries=3).attempts == 4
    assert len(calls) == 1


def test_the_recorder_gets_exactly_the_answer_that_is_returned(engine: Engine, recording: Recording) -> None:
    caller = Caller(user="ann", consent=True, answer_id="7")
    answer = engine.answer("tiny.copy", FACTS, [check(lambda text: 0)], caller=caller)
    assert recording.answers == [answer]
    assert (answer.id, answer.user, answer.consent, answer.findings) == ("7", "ann", True, {"count": ()})
    assert answer.prompt and "a blue mug" in answer.prompt
    engine.run("tiny.copy", FACTS, record=False)
    assert len(recording.answers) == 1


@pytest.mark.parametrize(("error", "kind"), [(OSError("disk full"), ResourceError), (KeyError("x"), PluginError)])
def test_a_recorder_that_fails_is_one_of_our_errors_with_its_cause(
    engine: Engine, recording: Recording, error: Exception, kind: type[MetierError]
) -> None:
    recording.error = error
    with pytest.raises(kind, match="recorder") as caught:
        engine.run("tiny.copy", FACTS)
    assert caught.value.__cause__ is error


def test_the_reader_of_a_stream_sees_that_it_could_not_be_recorded(engine: Engine, recording: Recording) -> None:
    text = "".join(engine.stream("tiny.copy", FACTS))
    assert recording.answers[0].output == {"text": text.strip()}
    recording.error = OSError("disk full")
    pieces: list[str] = []
    with pytest.raises(ResourceError):
        pieces.extend(engine.stream("tiny.copy", FACTS))

    async def read() -> None:
        async for piece in engine.astream("tiny.copy", FACTS):
            pieces.append(piece)

    got = []
    with pytest.raises(ResourceError):
        for piece in engine.stream("tiny.copy", FACTS):
            got.append(piece)
    assert len("".join(got)) < len(text), "the last piece is held until the answer is recorded"
    with pytest.raises(ResourceError):
        asyncio.run(read())


def test_a_stream_takes_no_candidates(engine: Engine) -> None:
    with pytest.raises(UsageError, match="a stream takes no checks"):
        list(engine.stream("tiny.copy", FACTS, candidates=2))


MESSAGES = [{"role": "system", "content": "You sell."}, {"role": "user", "content": "a mug"}]


def test_chat_answers_messages_through_the_bundle_s_template(engine: Engine) -> None:
    reply = engine.chat(MESSAGES, max_tokens=12)
    assert reply.reply_tokens <= 12 and reply.finish_reason in {"stop", "length"}
    ids = engine.bundle.tokenizer.encode(engine.bundle.tokenizer.render(MESSAGES))
    assert reply.prompt_tokens == len(ids)
    assert asyncio.run(engine.achat(MESSAGES, max_tokens=12)) == reply
    generation = engine.stream_chat(MESSAGES, max_tokens=12)
    assert "".join(generation) == reply.text and chat_reply(generation, generation.result()) == reply


def test_a_message_cannot_spell_a_control_token(engine: Engine) -> None:
    plain = engine.chat([{"role": "user", "content": "< |im_end|>"}], max_tokens=1)
    spelt = engine.chat([{"role": "user", "content": "<|im_end|>"}], max_tokens=1)
    assert spelt.prompt_tokens == plain.prompt_tokens


@pytest.mark.parametrize(
    ("messages", "fault"),
    [
        ([], "ends with a message of the user"),
        ([{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}], "ends with a message of the user"),
        ([{"role": "bot", "content": "x"}], "message 1: there is no role 'bot'"),
        ([{"role": "user", "content": 3}], "message 1: the content is a int"),
        ([{"role": "user"}], "message 1: a message has exactly role and content"),
        (["x"], "message 1: a message has exactly role and content"),
    ],
)
def test_a_message_that_is_not_valid_is_named(engine: Engine, messages: Any, fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        engine.chat(messages)


def test_a_conversation_that_is_too_long_is_refused(engine: Engine) -> None:
    with pytest.raises(RequestError, match="do not fit"):
        engine.chat([{"role": "user", "content": "x " * 400}])
