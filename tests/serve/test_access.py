"""Who may call the server, from where, and how much."""

from __future__ import annotations

import json
import socket
import threading
import time

import httpx
import pytest
from tests.serve.conftest import ADMIN, KEY, running

ASK = {"model": "plain", "messages": [{"role": "user", "content": "A mug."}], "max_tokens": 4}
ADMIN_HEADERS = {"Authorization": f"Bearer {ADMIN}"}


@pytest.mark.parametrize("path", ["/v1/models", "/v1/tasks", "/metrics", "/openapi.json"])
def test_nothing_is_read_without_a_key(server, path):
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {KEY}"}):
        answer = httpx.get(server.url + path, headers=headers)
        assert answer.status_code == 401, path
        assert answer.json()["error"]["code"] == "invalid_api_key"
    assert httpx.get(server.url + path, headers=server.headers).status_code == 200


def test_health_and_readiness_need_no_key(server):
    assert httpx.get(f"{server.url}/health").json() == {"status": "ok"}
    assert httpx.get(f"{server.url}/ready").json() == {"status": "ready"}


def test_adapters_need_an_admin_key(server, tiny_loras):
    body = {"lora_name": "stranger", "lora_path": "plain"}
    assert httpx.post(f"{server.url}/v1/load_lora_adapter", json=body).status_code == 401
    assert httpx.post(f"{server.url}/v1/load_lora_adapter", json=body, headers=server.headers).status_code == 403


def test_a_foreign_host_name_is_refused(server):
    answer = httpx.get(f"{server.url}/v1/models", headers={**server.headers, "Host": "evil.example"})
    assert answer.status_code == 421


def test_a_large_body_is_refused_with_and_without_its_length(server):
    large = json.dumps({**ASK, "messages": [{"role": "user", "content": "x" * 200_000}]}).encode()
    headers = {**server.headers, "Content-Type": "application/json"}
    assert httpx.post(f"{server.url}/v1/chat/completions", content=large, headers=headers).status_code == 413
    pieces = (large[at : at + 10_000] for at in range(0, len(large), 10_000))  # chunked: no Content-Length
    assert httpx.post(f"{server.url}/v1/chat/completions", content=pieces, headers=headers).status_code == 413


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 50_000, b"\xff\xfe", b'"text"'])
def test_a_body_that_is_no_object_is_a_bad_request(server, body):
    answer = httpx.post(f"{server.url}/v1/chat/completions", content=body, headers=server.headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_browsers_of_an_allowed_origin_may_send_what_the_javascript_client_sends(server):
    wanted = "authorization,content-type,x-stainless-arch,x-stainless-retry-count,x-stainless-timeout"
    headers = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": wanted}
    allowed = httpx.options(f"{server.url}/v1/chat/completions", headers={**headers, "Origin": "https://shop.example"})
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
    assert set(wanted.split(",")) <= {
        h.strip() for h in allowed.headers["access-control-allow-headers"].lower().split(",")
    }
    other = httpx.options(f"{server.url}/v1/chat/completions", headers={**headers, "Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


def test_a_full_queue_says_when_to_come_back(server, slotted_engine):
    body = {**ASK, "n": 16, "temperature": 1.0, "max_tokens": 40}
    answer = httpx.post(f"{server.url}/v1/chat/completions", json=body, headers=server.headers, timeout=60)
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "1"
    _idle(slotted_engine)
    assert httpx.post(f"{server.url}/v1/chat/completions", json=ASK, headers=server.headers).status_code == 200


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_frees_its_row(server, slotted_engine, stream):
    body = json.dumps({**ASK, "stream": stream, "max_tokens": 400, "temperature": 1.0}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head + body)
        _until(lambda: slotted_engine.load().running > 0)
    _idle(slotted_engine, 5)


def test_a_stream_is_utf8_and_no_cache_keeps_it(server):
    with httpx.stream(
        "POST", f"{server.url}/v1/chat/completions", json={**ASK, "stream": True}, headers=server.headers
    ) as answer:
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["cache-control"] == "no-cache"
        lines = list(answer.iter_lines())
    assert lines[-2] == "data: [DONE]"


def test_a_silent_stream_gets_heartbeats(server, slotted_engine, monkeypatch):
    original = slotted_engine.submit

    def slow(request, **options):
        generation = original(request, **options)

        async def late(self=generation):
            import asyncio

            await asyncio.sleep(0.7)
            for piece in [self.result(30)]:
                yield piece

        generation.__class__ = type("Late", (generation.__class__,), {"__aiter__": lambda self: late()})
        return generation

    monkeypatch.setattr(slotted_engine, "submit", slow)
    with httpx.stream(
        "POST", f"{server.url}/v1/chat/completions", json={**ASK, "stream": True}, headers=server.headers
    ) as answer:
        assert sum(line.startswith(":") for line in answer.iter_lines()) >= 2


def test_metrics_have_the_names_that_dashboards_read(server):
    httpx.post(f"{server.url}/v1/chat/completions", json=ASK, headers=server.headers)
    text = httpx.get(f"{server.url}/metrics", headers=server.headers).text
    for name in (
        "vllm:num_requests_running{", "vllm:num_requests_waiting{", "vllm:kv_cache_usage_perc{",
        'vllm:time_to_first_token_seconds_count{model_name="plain"}', "vllm:inter_token_latency_seconds_bucket{",
        'vllm:e2e_request_latency_seconds_count{model_name="plain"}', 'vllm:lora_requests_info{max_lora="4"',
    ):  # fmt: skip
        assert name in text


def test_a_drain_ends_running_requests_and_refuses_new_ones(slotted_engine, settings):
    import signal

    from metier.serve import create_app

    with running(create_app([slotted_engine], settings)) as found:
        finished = []
        body = {**ASK, "max_tokens": 200, "temperature": 1.0, "seed": 1}

        def ask():
            finished.append(
                httpx.post(f"{found.url}/v1/chat/completions", json=body, headers=found.headers, timeout=60)
            )

        thread = threading.Thread(target=ask)
        thread.start()
        _until(lambda: slotted_engine.load().running > 0)
        found.server.handle_exit(signal.SIGTERM, None)
        assert httpx.get(f"{found.url}/ready").status_code == 503
        refused = httpx.post(f"{found.url}/v1/chat/completions", json=ASK, headers=found.headers)
        assert refused.status_code == 503
        thread.join(60)
        assert finished[0].status_code == 200
        assert finished[0].json()["usage"]["completion_tokens"] > 1
        _until(lambda: found.server.should_exit)


def test_a_stalled_engine_is_not_ready(server, slotted_engine, monkeypatch):
    from dataclasses import replace

    load = slotted_engine.load()
    monkeypatch.setattr(slotted_engine, "load", lambda: replace(load, running=1, stalled_for=999.0))
    answer = httpx.get(f"{server.url}/ready")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "stalled"
    assert httpx.get(f"{server.url}/health").status_code == 200


def _until(true, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def _idle(engine, seconds: float = 30) -> None:
    _until(lambda: engine.load().running == engine.load().waiting == 0, seconds)
