"""OpenAI's own Python client against a real server: every endpoint that it calls, streaming and not."""

from __future__ import annotations

import json

import openai
import pytest

ASK = [{"role": "user", "content": "Describe the blue mug."}]


def test_models_are_the_bundle_and_its_adapters(client):
    models = {model.id: model for model in client.models.list()}
    (base,) = [id for id, model in models.items() if model.parent is None]
    assert {"tuned", "plain", "rank1"} <= set(models)
    assert all(model.parent == base for id, model in models.items() if id != base)
    assert client.models.retrieve("plain").root.endswith("plain")


def test_a_chat_equals_the_python_api_and_echoes_the_model(client, slotted_engine):
    for model in ("plain", "rank1"):
        reply = client.chat.completions.create(model=model, messages=ASK, max_tokens=12)
        assert reply.model == model
        expected = slotted_engine.chat(ASK, adapter=model, max_tokens=12)
        assert reply.choices[0].message.content == expected.text
        assert reply.usage.completion_tokens == expected.reply_tokens
        assert reply.usage.prompt_tokens == expected.prompt_tokens
        assert reply.choices[0].finish_reason == expected.finish_reason


def test_a_stream_has_one_id_and_the_same_text(client):
    whole = client.chat.completions.create(model="plain", messages=ASK, max_completion_tokens=12)
    stream = client.chat.completions.create(
        model="plain", messages=ASK, max_completion_tokens=12, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert len({chunk.id for chunk in chunks}) == len({chunk.created for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == [
        whole.choices[0].finish_reason
    ]
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_n_answers_with_a_seed_are_drawn_and_repeat(client):
    def draw(seed):
        reply = client.chat.completions.create(
            model="plain", messages=ASK, max_tokens=12, n=3, seed=seed, temperature=1.5
        )
        return [choice.message.content for choice in reply.choices]

    first = draw(7)
    assert draw(7) == first
    assert len(set(first)) > 1
    chunks = client.chat.completions.create(
        model="plain", messages=ASK, max_tokens=12, n=3, seed=7, temperature=1.5, stream=True
    )
    texts = ["", "", ""]
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == first


def test_logprobs_have_bytes_and_the_likeliest_tokens(client):
    reply = client.chat.completions.create(model="plain", messages=ASK, max_tokens=8, logprobs=True, top_logprobs=3)
    tokens = reply.choices[0].logprobs.content
    assert len(tokens) == reply.usage.completion_tokens
    joined = b"".join(bytes(token.bytes) for token in tokens)
    assert joined.decode("utf-8", "replace").strip() == reply.choices[0].message.content.strip()
    for token in tokens:
        assert token.logprob <= 0
        assert len(token.top_logprobs) == 3
        values = [one.logprob for one in token.top_logprobs]
        assert values == sorted(values, reverse=True)
        assert token.logprob == pytest.approx(values[0], abs=1e-4)  # greedy
    plain = client.chat.completions.create(model="plain", messages=ASK, max_tokens=8, logprobs=True)
    assert all(token.top_logprobs == [] for token in plain.choices[0].logprobs.content)
    streamed = []
    for chunk in client.chat.completions.create(
        model="plain", messages=ASK, max_tokens=8, logprobs=True, top_logprobs=3, stream=True
    ):
        if chunk.choices and chunk.choices[0].logprobs:
            streamed += chunk.choices[0].logprobs.content
    assert [token.bytes for token in streamed] == [token.bytes for token in tokens]


def test_stop_strings_end_before_they_are_seen(client):
    whole = client.chat.completions.create(model="plain", messages=ASK, max_tokens=24).choices[0].message.content
    stop = whole[4:7]
    cut = client.chat.completions.create(model="plain", messages=ASK, max_tokens=24, stop=stop)
    assert cut.choices[0].message.content == whole[: whole.index(stop)]
    assert cut.choices[0].finish_reason == "stop"
    chunks = client.chat.completions.create(model="plain", messages=ASK, max_tokens=24, stop=[stop], stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == whole[: whole.index(stop)]


def test_a_json_schema_is_followed(client):
    schema = {
        "type": "object",
        "properties": {"grade": {"enum": ["good", "bad"]}, "count": {"type": "integer", "minimum": 0, "maximum": 9}},
        "required": ["grade", "count"],
    }
    reply = client.chat.completions.create(
        model="plain",
        messages=ASK,
        max_tokens=40,
        response_format={"type": "json_schema", "json_schema": {"name": "grade", "schema": schema, "strict": True}},
    )
    value = json.loads(reply.choices[0].message.content)
    assert value["grade"] in ("good", "bad")
    assert 0 <= value["count"] <= 9


def test_completions_continue_texts_and_token_ids(client, http):
    reply = client.completions.create(model="plain", prompt=["The mug", "A lamp"], max_tokens=6, logprobs=2)
    assert [choice.index for choice in reply.choices] == [0, 1]
    assert len(reply.choices[0].logprobs.tokens) == len(reply.choices[0].logprobs.text_offset)
    ids = http.post("/tokenize", json={"model": "plain", "prompt": "The mug"}).json()["tokens"]
    again = client.completions.create(model="plain", prompt=ids, max_tokens=6)
    assert again.choices[0].text == reply.choices[0].text
    assert http.post("/detokenize", json={"model": "plain", "tokens": ids}).json()["prompt"] == "The mug"
    chunks = list(client.completions.create(model="plain", prompt="The mug", max_tokens=6, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == reply.choices[0].text


def test_responses_stream_the_whole_sequence_of_events(client):
    whole = client.responses.create(model="plain", input="Describe the blue mug.", max_output_tokens=12)
    assert whole.output_text
    events = list(
        client.responses.create(model="plain", input="Describe the blue mug.", max_output_tokens=12, stream=True)
    )
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
    ]  # fmt: skip
    assert kinds[-4:-1] == ["response.output_text.done", "response.content_part.done", "response.output_item.done"]
    assert kinds[-1] in ("response.completed", "response.incomplete")
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole.output_text
    assert events[-1].response.output_text == whole.output_text
    assert events[-1].response.usage.total_tokens == whole.usage.total_tokens


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]}, "tools"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"n": 99}, "n"),
        ({"temperature": 3}, "temperature"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(client, options, param):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="plain", messages=ASK, **options)
    assert caught.value.param.startswith(param)


def test_an_unknown_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="plian", messages=ASK)
    assert caught.value.code == "model_not_found"
    assert "plain" in caught.value.message


def test_a_prompt_that_is_too_long_is_a_bad_request(client):
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="plain", messages=[{"role": "user", "content": "mug " * 2000}])


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}},
        {"type": "nonsense"},
        {"$ref": "#/x"},
    ],
)
def test_a_bad_schema_is_a_bad_request_and_the_engine_goes_on(client, schema):
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(
            model="plain",
            messages=ASK,
            max_tokens=20,
            response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
        )
    assert client.chat.completions.create(model="plain", messages=ASK, max_tokens=2).usage.completion_tokens


async def _ask(url, key, model):
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:
        reply = await client.chat.completions.create(model=model, messages=ASK, max_tokens=12)
        return reply.choices[0].message.content


def test_many_clients_with_different_adapters_get_their_own_answers(server, slotted_engine):
    import asyncio

    from tests.serve.conftest import KEY

    names = ["plain", "rank1", "rslora", "some", "last", "patterns"]

    async def all_of_them():
        return await asyncio.gather(*(_ask(server.url, KEY, name) for name in [*names, *names[:2]]))

    alone = {name: slotted_engine.chat(ASK, adapter=name, max_tokens=12).text for name in names}
    found = asyncio.run(all_of_them())
    assert found == [alone[name] for name in [*names, *names[:2]]]
