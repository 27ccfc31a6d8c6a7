"""OpenAI's own JavaScript client against a real server, run by Node; skipped where npm's registry is missing."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from tests.heads.conftest import heads, kinds, make_head, shipped, tiny_encoder  # noqa: F401
from tests.serve.conftest import KEY, running

pytestmark = pytest.mark.xdist_group("javascript")  # one worker installs the client
HERE = Path(__file__).parent / "javascript"
ASK = [{"role": "user", "content": "Describe the blue mug."}]
SAFE_HEADERS = {"accept", "accept-language", "content-language", "host", "connection", "content-length", "user-agent"}
"""Headers that a browser sends to another origin without a question, or sets itself."""
SCHEMA = {
    "type": "object",
    "properties": {"grade": {"enum": ["good", "bad"]}, "count": {"type": "integer", "minimum": 0, "maximum": 9}},
    "required": ["grade", "count"],
}


@pytest.fixture(scope="session")
def folder(pytestconfig) -> Path:
    """Where the pinned client is installed: pytest's cache, so that npm is needed once."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node.js and npm are not installed")
    folder = Path(pytestconfig.cache.mkdir("openai-javascript"))
    for name in ("package.json", "package-lock.json", "client.mjs"):
        shutil.copyfile(HERE / name, folder / name)
    wanted = json.loads((folder / "package.json").read_text())["dependencies"]["openai"]
    installed = folder / "node_modules" / "openai" / "package.json"
    if not installed.exists() or json.loads(installed.read_text())["version"] != wanted:
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0"]
        try:
            done = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=180)
        except subprocess.TimeoutExpired:
            pytest.skip("npm's registry did not answer within 180 s")
        if done.returncode:
            if any(word in done.stderr for word in ("EINTEGRITY", "EUSAGE")):  # the files are wrong, not the network
                pytest.fail(done.stderr)
            pytest.skip(f"npm cannot install openai@{wanted}: {done.stderr.strip().splitlines()[-1:]}")
    return folder


@pytest.fixture
def node(folder, server):
    """Runs a case of client.mjs: (name, options) → what it printed."""

    def run(case: str, url: str = server.url, **options):
        given = {"METIER_URL": url, "METIER_KEY": KEY, "METIER_OPTIONS": json.dumps(options)}
        command = ["node", "client.mjs", case]
        done = subprocess.run(
            command, check=False, cwd=folder, env={**os.environ, **given}, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_models_are_the_bundle_and_its_adapters(node):
    found = node("models")
    models = {model["id"]: model for model in found["found"]}
    (base,) = [id for id, model in models.items() if model["parent"] is None]
    assert {"tuned", "plain", "rank1"} <= set(models)
    assert found["one"] == {**models["plain"], "parent": base}


def test_a_chat_equals_the_python_api(node, slotted_engine):
    expected = slotted_engine.chat(ASK, adapter="rank1", max_tokens=12)
    reply = node("chat", model="rank1")
    assert reply["model"] == "rank1"
    assert reply["choices"][0]["message"]["content"] == expected.text
    assert reply["usage"]["completion_tokens"] == expected.reply_tokens
    assert reply["choices"][0]["finish_reason"] == expected.finish_reason


def test_a_stream_has_the_same_text_and_a_usage_chunk(node):
    whole = node("chat")
    found = node("chatStream", stream_options={"include_usage": True})
    chunks = found["chunks"]
    assert found["texts"]["0"] == whole["choices"][0]["message"]["content"]
    assert len({chunk["id"] for chunk in chunks}) == len({chunk["created"] for chunk in chunks}) == 1
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"] == whole["usage"]
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert all("usage" not in chunk for chunk in node("chatStream")["chunks"])


def test_the_stream_helpers_collect_the_whole_answer(node):
    whole = node("chat")
    found = node("chatStreamHelper", stream_options={"include_usage": True})
    assert found["content"] == found["final"]["choices"][0]["message"]["content"]
    assert found["content"] == whole["choices"][0]["message"]["content"]
    assert found["final"]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert found["final"]["usage"] == whole["usage"]


def test_n_answers_with_a_seed_are_the_same_streamed_and_not(node):
    options = {"n": 3, "seed": 7, "temperature": 1.5}
    first = [choice["message"]["content"] for choice in node("chat", **options)["choices"]]
    assert len(set(first)) > 1
    assert list(node("chatStream", **options)["texts"].values()) == first


def test_stop_strings_end_before_they_are_seen(node):
    whole = node("chat", max_tokens=24)["choices"][0]["message"]["content"]
    stop = whole[4:7]
    assert node("chat", max_tokens=24, stop=stop)["choices"][0]["message"]["content"] == whole[: whole.index(stop)]
    assert node("chatStream", max_tokens=24, stop=[stop, "no such"])["texts"]["0"] == whole[: whole.index(stop)]


def test_logprobs_have_bytes_and_the_likeliest_tokens_in_streams_too(node):
    reply = node("chat", logprobs=True, top_logprobs=3)
    tokens = reply["choices"][0]["logprobs"]["content"]
    assert len(tokens) == reply["usage"]["completion_tokens"]
    text = b"".join(bytes(token["bytes"]) for token in tokens).decode("utf-8", "replace")
    assert text.strip() == reply["choices"][0]["message"]["content"].strip()
    assert all(len(token["top_logprobs"]) == 3 for token in tokens)
    helper = node("chatStreamHelper", logprobs=True, top_logprobs=3)["final"]
    assert [token["bytes"] for token in helper["choices"][0]["logprobs"]["content"]] == [t["bytes"] for t in tokens]


def test_a_json_schema_is_followed_and_parsed(node):
    form = {"type": "json_schema", "json_schema": {"name": "grade", "schema": SCHEMA, "strict": True}}
    value = json.loads(node("parse", response_format=form)["choices"][0]["message"]["content"])
    assert value["grade"] in ("good", "bad") and 0 <= value["count"] <= 9
    found = node(
        "responses", max_output_tokens=40, text={"format": {"type": "json_schema", "name": "g", "schema": SCHEMA}}
    )
    assert json.loads(found["whole"]["output_text"])["grade"] in ("good", "bad")


def test_completions_continue_several_texts(node):
    whole = node("completions")
    assert [choice["index"] for choice in whole["choices"]] == [0, 1]
    assert all(len(c["logprobs"]["tokens"]) == len(c["logprobs"]["text_offset"]) for c in whole["choices"])
    texts = node("completionsStream")["texts"]
    assert texts == {str(choice["index"]): choice["text"] for choice in whole["choices"]}


def test_responses_stream_the_whole_sequence_of_events(node):
    found = node("responses")
    events, whole = found["events"], found["whole"]
    kinds_of = [event["type"] for event in events]
    assert kinds_of[:2] == ["response.created", "response.in_progress"]
    assert kinds_of[-1] == f"response.{whole['status']}"
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    deltas = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    assert deltas == whole["output_text"] != ""


def test_the_responses_helper_builds_the_same_response(node):
    found = node("responsesHelper")
    assert found["text"] == found["final"]["output_text"] == node("responses")["whole"]["output_text"]


def test_errors_are_the_clients_own_classes(node):
    found = node("errors")
    classes = {kind: error["class"] for kind, error in found.items()}
    assert classes == {
        "401": "AuthenticationError", "403": "PermissionDeniedError", "404": "NotFoundError",
        "404 in a stream": "NotFoundError", "400": "BadRequestError", "429": "RateLimitError", "413": "APIError",
    }  # fmt: skip
    assert found["404"]["code"] == "model_not_found" and "plain" in found["404"]["message"]
    assert found["400"]["param"] == "frequency_penalty"
    assert all(error["requestID"] for error in found.values())


def test_the_client_waits_and_tries_again_when_the_queue_is_full(node):
    found = node("retries")
    assert found["error"]["status"] == 429
    assert found["counts"] == ["0", "1"]
    assert found["milliseconds"] >= 1000  # Retry-After, not the client's own half second


def test_an_aborted_request_frees_its_row(node, slotted_engine):
    assert node("abort")["error"]["class"] == "APIUserAbortError"
    end = time.monotonic() + 5
    while slotted_engine.load().running or slotted_engine.load().waiting:
        assert time.monotonic() < end, "the engine still works for a client that left"
        time.sleep(0.01)


def test_a_browser_may_send_every_header_of_the_client_and_read_what_it_reads(node, server):
    sent = set(node("headers")) - SAFE_HEADERS
    assert {"authorization", "content-type", "x-stainless-lang", "openai-organization"} <= sent
    headers = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    preflight = {**headers, "Access-Control-Request-Headers": ",".join(sorted(sent))}
    answer = httpx.options(f"{server.url}/v1/chat/completions", headers=preflight)
    assert answer.status_code == 200, answer.text
    allowed = {name.strip().lower() for name in answer.headers["access-control-allow-headers"].split(",")}
    assert sent <= allowed
    refused = httpx.get(f"{server.url}/v1/models", headers={"Origin": "https://shop.example"})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://shop.example"  # else the page sees no status
    readable = {name.strip().lower() for name in refused.headers["access-control-expose-headers"].split(",")}
    assert {"x-request-id", "retry-after"} <= readable


def test_clients_of_different_adapters_get_their_own_answers(node, slotted_engine):
    names = ["plain", "rank1", "rslora", "some", "last", "patterns"]
    expected = [slotted_engine.chat(ASK, adapter=name, max_tokens=12).text for name in names]
    assert node("concurrent", models=names) == expected


def test_embeddings_are_the_engines_vectors(node, shipped, settings):  # noqa: F811
    from metier.runtime import Engine
    from metier.serve import create_app

    with Engine(shipped, threads=1) as engine, running(create_app([engine], settings)) as encoder:
        found = node("embeddings", url=encoder.url)
        expected = engine.embed(["he ordered the apple", "she lost the saw"], head="sort")
    for form in ("packed", "listed"):
        vectors = [row["embedding"] for row in found[form]["data"]]
        assert [row["index"] for row in found[form]["data"]] == [0, 1]
        for vector, wanted in zip(vectors, expected, strict=True):
            assert vector == pytest.approx(wanted.tolist(), abs=1e-6)
            assert math.hypot(*vector) == pytest.approx(1, abs=1e-4)
