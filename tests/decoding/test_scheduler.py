"""The engine's thread outlives faults of callers and requests, ends every request if it ends, and reads a shared prompt
once."""

import asyncio
import os
import signal
import time

import pytest

from metier.contracts import BundleError, RequestError
from metier.decoding import scheduler
from metier.decoding.decoder_session import DecoderSession
from metier.decoding.generation import Request
from metier.decoding.sampling import Sampling
from metier.runtime.bundle import open_bundle

OPTIONS = {
    "device": "cpu", "threads": 1, "rows": 4, "max_len": 300, "adapter_bytes": 1 << 20, "queue": 16,
    "max_tokens_total": None, "cuda_graphs": None,
}  # fmt: skip
PROMPT = tuple(range(5, 105))


def open_decoder_session(folder, **options):
    bundle = open_bundle(folder)
    return DecoderSession(bundle.path, bundle.manifest, bundle.tokenizer, **{**OPTIONS, **options})


@pytest.fixture
def session(tiny_slotted):
    session = open_decoder_session(tiny_slotted)
    yield session
    session.close()


def submit(session, ids=PROMPT, tokens=8, **options):
    return session.submit(Request(ids=ids, max_tokens=tokens, **options), wait=None)


def test_an_event_loop_that_is_closed_while_iterating_stops_nothing(session):
    loop = asyncio.new_event_loop()
    generation = submit(session, tokens=180)
    pieces = aiter(generation)
    loop.run_until_complete(anext(pieces))
    loop.close()
    assert generation.result(60) and generation.finish_reason
    assert submit(session).result(60) is not None


@pytest.mark.parametrize("error", [ValueError("mine"), SystemExit(3)])
def test_a_done_callback_that_raises_stops_nothing_and_the_next_one_runs(session, error):
    called = []

    def fails():
        raise error

    generation = submit(session)
    generation.add_done_callback(fails)
    generation.add_done_callback(lambda: called.append(True))
    generation.result(60)
    assert submit(session).result(60) is not None
    assert called == [True]


@pytest.mark.parametrize("error", [SystemExit("reason x"), KeyboardInterrupt("reason x")])
def test_if_the_thread_ends_every_request_fails_with_the_reason_and_the_engine_is_closed(session, error, monkeypatch):
    def ends(self):
        raise error

    running = [submit(session, tokens=100) for _ in range(8)]
    monkeypatch.setattr(scheduler.Scheduler, "_iterate", ends)
    for generation in running:
        with pytest.raises(RequestError, match=r"the engine is closed: its thread ended: .*reason x"):
            generation.result(60)
    with pytest.raises(RequestError, match="the engine is closed: its thread ended"):
        submit(session)
    session.close()


def test_an_error_of_the_graph_ends_the_requests_in_rows_and_the_engine_continues(session, monkeypatch):
    def fails(tokens):
        raise IndexError("no such place")

    first = submit(session, tokens=180)
    next(iter(first))
    with monkeypatch.context() as patch:
        patch.setattr(session.decoder, "step", fails)
        with pytest.raises(RequestError, match="the engine failed: IndexError"):
            first.result(60)
    assert submit(session).result(60) is not None


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"adapter": "plain"}, BundleError, r"the adapter plain cannot be loaded: KeyError"),
        (
            {"grammar": "start: /a/", "sampling": "greedy"},
            RequestError,
            "the request cannot be started: AttributeError",
        ),
    ],
)
def test_any_error_at_admission_ends_its_own_request_only(session, options, error, message, monkeypatch):
    def damaged(folder, hashes):
        raise KeyError("q_proj")

    monkeypatch.setattr("metier.decoding.adapter_store.read_folder", damaged)
    beside = submit(session, tokens=100)
    failing = submit(session, **options)
    with pytest.raises(error, match=message):
        failing.result(60)
    assert beside.result(60) is not None


def test_any_error_while_a_reply_grows_ends_its_own_request_only(session, monkeypatch):
    beside, failing = submit(session, tokens=20), submit(session, tokens=21)
    accept = scheduler.ActiveSequence.accept

    def fails(self, scores):
        if self.generation is failing:
            raise ZeroDivisionError
        return accept(self, scores)

    monkeypatch.setattr(scheduler.ActiveSequence, "accept", fails)
    with pytest.raises(RequestError, match="the reply cannot be continued: ZeroDivisionError"):
        failing.result(60)
    assert beside.result(60) is not None


@pytest.mark.parametrize(
    ("ids", "tokens", "message"),
    [
        ((), 8, "the prompt is empty"),
        ((5, 10**6), 8, "no token id"),
        ((5, -1), 8, "no token id"),
        (("5", "6"), 8, "no token id"),
        ((5, 6.5), 8, "no token id"),
        (PROMPT * 4, -200, "max_tokens is -200"),
    ],
)
def test_a_request_that_would_fail_the_rows_beside_it_is_rejected(session, ids, tokens, message):
    with pytest.raises(RequestError, match=message):
        submit(session, ids, tokens)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_gets_an_error_instead_of_waiting(session):
    before = submit(session, tokens=180)
    with session._scheduler._wake, session.adapters._lock:  # held at the fork, so never released in the child
        child = os.fork()
        if child == 0:
            found = []
            for call in (lambda: submit(session, adapter="plain"), lambda: before.result(60), session.close):
                try:
                    found.append(call())
                except RequestError as error:
                    found.append("open the engine in the child process" in str(error))
            os._exit(0 if found == [True, True, None] else 1)
    until = time.monotonic() + 30
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < until:
        time.sleep(0.01)
    if ended == (0, 0):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert ended[0] == child and ended[1] == 0, "the child hangs or has no error"
    assert before.result(60) is not None


def submit_together(session, requests):
    """Queue all before the engine's thread sees the first."""
    with session._scheduler._wake:
        return [session.submit(request, wait=0) for request in requests]


@pytest.mark.parametrize("length", [30, 100, 200])
@pytest.mark.parametrize("adapter", [None, "plain"])
def test_candidates_for_one_prompt_cost_one_prefill(session, length, adapter):
    prompt = tuple(5 + i % 90 for i in range(length))
    requests = [
        Request(ids=prompt, max_tokens=8, adapter=adapter, logprobs=True, sampling=Sampling(temperature=1.0, seed=seed))
        for seed in range(8)
    ]
    running = submit_together(session, requests)
    for generation in running:
        generation.result(60)
    assert session._scheduler.prefilled_tokens == length - 1
    assert all(len(g.logprobs) == len(g.ids) + (g.end_token is not None) for g in running)
    for row in range(4):
        session._scheduler.prefix_cache.invalidate(row)
    for request, generation in list(zip(requests, running, strict=True))[2:4]:
        alone = session.submit(request, wait=None)
        alone.result(60)
        assert alone.ids == generation.ids
        assert alone.logprobs == pytest.approx(generation.logprobs, abs=1e-4)


def test_the_next_candidate_reads_on_if_the_one_that_reads_the_prompt_is_cancelled(session, monkeypatch):
    monkeypatch.setattr(scheduler, "CHUNK", 20)
    prefill = session.decoder.prefill
    runs = []

    def slow(*chunks):
        runs.append(chunks)
        time.sleep(0.02)
        return prefill(*chunks)

    monkeypatch.setattr(session.decoder, "prefill", slow)
    prompt = tuple(7 + i % 50 for i in range(200))
    first, *others = [submit(session, prompt) for _ in range(3)]
    while len(runs) < 3:
        time.sleep(0.001)
    first.cancel()
    replies = {other.result(60) for other in others}
    assert len(replies) == 1 and session._scheduler.prefilled_tokens <= 199 + 20


def test_prompts_with_a_long_common_beginning_wait_and_short_ones_are_read_in_one_run(session, monkeypatch):
    rows_of_runs = []
    prefill = session.decoder.prefill

    def counted(first, *chunks):
        rows_of_runs.append(len(chunks))
        return prefill(first, *chunks)

    monkeypatch.setattr(session.decoder, "prefill", counted)
    begin = tuple(7 + i % 50 for i in range(150))
    for generation in submit_together(session, [Request(ids=(*begin, 60 + i, 5, 6), max_tokens=8) for i in range(3)]):
        generation.result(60)
    assert session._scheduler.prefilled_tokens == 152 + 2 * 2
    rows_of_runs.clear()
    for generation in submit_together(
        session, [Request(ids=(*range(200, 224), 60 + i, 9), max_tokens=8) for i in range(4)]
    ):
        generation.result(60)
    assert rows_of_runs == [4]
