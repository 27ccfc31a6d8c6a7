"""What a GPU does, on the CPU: KV, logits and adapters that stay where they are, steps of fixed shapes, candidates
instead of logits. Requests get the tokens that they get in host memory."""

import importlib
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metier.contracts import DeviceError
from metier.decoding import device, open_decoder
from metier.decoding.generation import Request
from metier.runtime import Engine, Sampling
from metier.runtime.bundle import Bundle, open_bundle

NAMES = [None, "tuned", "plain", "rank1", "rslora", "patterns", "some", "last"]
TEXTS = ["a blue mug", "7", "name[Alimentum], area[city centre], food[Italian], price[cheap]"]
SAMPLINGS = [
    Sampling(),
    Sampling(temperature=0.8, top_k=20, seed=3),
    Sampling(temperature=0.4, top_p=0.8, seed=4),
    Sampling(temperature=1.0, seed=5),
    Sampling(temperature=0.7, top_p=0.9, repetition_penalty=1.2, no_repeat_ngram_size=2, seed=6),
]
TOKENS = 16


@pytest.fixture(scope="module")
def resident():
    """Engines made while this holds keep everything on the device, which is the CPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device, "RESIDENT", {"cpu"})
        yield


@pytest.fixture(scope="module")
def device_engine(tiny_slotted, resident):
    """Five rows, so that steps are filled up; a budget that holds three of the seven adapters."""
    with Engine(tiny_slotted, rows=5, max_len=300, adapter_bytes=200_000) as engine:
        yield engine


@pytest.fixture(scope="module")
def alone(tiny_slotted):
    """(adapter, text, sampling) → tokens of that request alone in an engine in host memory."""
    known = {}
    with Engine(tiny_slotted, rows=1, max_len=300) as engine:

        def said(name, text, number):
            if (name, text, number) not in known:
                generation = ask(engine, name, text, number)
                generation.result(60)
                known[name, text, number] = generation.ids, generation.logprobs
            return known[name, text, number]

        yield said


def ask(engine, name, text, number, tokens=TOKENS):
    ids = engine.request("tiny.copy", {"facts": text}, adapter="base").ids
    return engine.submit(
        Request(ids=ids, max_tokens=tokens, adapter=name, sampling=SAMPLINGS[number], logprobs=True), wait=None
    )


steps = st.tuples(
    st.sampled_from(NAMES),
    st.sampled_from(TEXTS),
    st.integers(0, len(SAMPLINGS) - 1),
    st.integers(1, TOKENS),
    st.sampled_from(["go", "go", "go", "wait", "cancel", "pause"]),
)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(steps, min_size=2, max_size=12))
def test_any_schedule_says_on_a_device_what_each_request_says_alone_in_host_memory(device_engine, alone, schedule):
    """Mixed adapters and samplings, random arrival, cancellation, eviction."""
    running = []
    for name, text, number, tokens, then in schedule:
        generation = ask(device_engine, name, text, number, tokens)
        running.append((name, text, number, tokens, generation))
        if then == "wait":
            generation.result(60)
        elif then == "cancel":
            next(iter(generation), None)
            generation.cancel()
        elif then == "pause":
            time.sleep(0.002)
    for name, text, number, tokens, generation in running:
        list(generation)
        expected, logprobs = alone(name, text, number)
        length = len(generation.ids) if generation.finish_reason == "cancelled" else tokens
        assert generation.ids == expected[:length], (name, text, number)
        count = len(generation.logprobs)
        np.testing.assert_allclose(generation.logprobs, logprobs[:count], atol=1e-4)


def test_schedules_really_ran_on_fixed_shapes_and_candidates_and_evicted(device_engine, alone):
    for name in NAMES[1:] * 2:
        ask(device_engine, name, "7", 0, 1).result(60)
    inner = device_engine._session.decoder
    counts = {count for count, _, _ in inner._steps._shapes}
    assert counts <= {1, 2, 4, 5} and not inner.can_move
    assert inner.scores(0).few is not None
    assert device_engine.adapters.evictions > 0


def test_replies_under_a_grammar_are_the_same(tiny_bundle, resident, engine):
    asked = [("tiny.item", {"facts": "a lamp"}), ("tiny.mood", {"facts": "rain"}), ("tiny.item", {"facts": "7"})]
    with Engine(tiny_bundle, rows=4, max_len=300) as there:
        running = [there.submit(there.request(*task)) for task in asked]
        for task, generation in zip(asked, running, strict=True):
            here = engine.submit(engine.request(*task))
            assert generation.result(60) == here.result(60)
            assert generation.ids == here.ids


def test_a_dialogue_goes_on_from_kv_that_others_steps_left_alone(tiny_slotted, resident):
    """A freed row in the midst of a step is filled up, but writes behind what it holds."""
    with Engine(tiny_slotted, rows=4, max_len=300) as engine:
        beside = [ask(engine, None, TEXTS[2], 0, 120) for _ in range(1)]
        next(iter(beside[0]))
        first = ask(engine, None, TEXTS[0], 0)
        late = ask(engine, None, TEXTS[1], 0, 100)
        next(iter(late))
        first.result(60)
        before = engine._session._scheduler.prefixes.reused
        again = ask(engine, None, TEXTS[0], 0)
        again.result(60)
        assert again.ids == first.ids
        assert engine._session._scheduler.prefixes.reused > before
        for generation in (*beside, late):
            generation.cancel()


def test_a_bundle_of_before_has_no_candidates_and_says_the_same(tiny_slotted, resident, alone):
    bundle = open_bundle(tiny_slotted)
    graph = bundle.manifest.graph.model_copy(update={"candidates": None})
    old = Bundle(bundle.path, bundle.manifest.model_copy(update={"graph": graph}), bundle.tokenizer)
    with Engine(old, rows=3, max_len=300) as engine:
        running = [ask(engine, name, TEXTS[0], number) for number, name in enumerate(NAMES[:5])]
        for number, (name, generation) in enumerate(zip(NAMES[:5], running, strict=True)):
            generation.result(60)
            assert generation.ids == alone(name, TEXTS[0], number)[0]
        assert engine._session.decoder.scores(0).few is None


class Capturing:
    """A session on the CPU that has captured what it was told to, as CUDA's would; or that cannot."""

    def __init__(self, session, fails):
        self._session, self._fails, self.captured, self.released = session, fails, [], []

    def __getattr__(self, name):
        return getattr(self._session, name)

    def run_with_iobinding(self, binding, options=None):
        number = int(options.get_run_config_entry("gpu_graph_id"))
        if number >= 0 and self._fails:
            raise RuntimeError("CUDA failure 900: operation not permitted when stream is capturing\nmore")
        self.captured += [number] if number >= 0 else []
        self._session.run_with_iobinding(binding, options)

    def release_captured_graph(self, number):
        self.released.append(number)


@pytest.fixture
def capturing(monkeypatch, resident):
    """Sessions that capture where they are asked to; call it to make them fail."""
    made, fails = [], []

    def opened(model, on, *, capture=False, **options):
        found = device.open_session(model, on, **options)
        if not capture:
            return found
        made.append(Capturing(found.session, bool(fails)))
        return replace(found, session=made[-1], captures=True)

    monkeypatch.setattr(open_decoder, "open_session", opened)
    return made, fails


def test_each_shape_is_captured_under_its_own_number_and_prompts_never(tiny_slotted, capturing, alone):
    (made, _) = capturing
    with Engine(tiny_slotted, rows=4, max_len=300, cuda_graphs=True) as engine:
        for names in ([None], ["plain"], ["plain", "rslora", "tuned"], ["rank1"]):
            running = [(name, ask(engine, name, TEXTS[0], 0)) for name in names]
            for name, generation in running:
                generation.result(60)
                assert generation.ids == alone(name, TEXTS[0], 0)[0]
        shapes = engine._session.decoder._steps._shapes
        numbers = [shape.graph_id for shape in shapes.values()]
        assert len({*numbers}) == len(numbers) and {*numbers} <= {*made[0].captured}
        assert {*made[0].released} == {*made[0].captured} - {*numbers}, "what is given up is released, nothing else"
        assert {plan[0] for _, _, plan in shapes} <= {"one", "shared", "each"}


def test_where_capturing_fails_steps_run_one_by_one_and_the_reason_is_logged(tiny_slotted, capturing, alone, caplog):
    made, fails = capturing
    fails.append(True)
    with Engine(tiny_slotted, rows=2, max_len=300) as engine:
        generation = ask(engine, "plain", TEXTS[0], 0)
        generation.result(60)
        assert generation.ids == alone("plain", TEXTS[0], 0)[0]
        assert "no CUDA graphs: a decode step failed: CUDA failure 900" in engine.device_reason and len(made) == 1
    assert "decoding without CUDA graphs: a decode step failed: CUDA failure 900" in caplog.text
    with pytest.raises(DeviceError, match=r"CUDA graphs were asked for but do not work: .* stream is capturing"):
        Engine(tiny_slotted, rows=2, max_len=300, cuda_graphs=True)


def test_the_gpu_benchmark_measures_these_lines_and_finds_the_same_tokens_in_every_setting(tiny_base, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    monkeypatch.setattr(device, "RESIDENT", device.RESIDENT)  # put back what the benchmark sets
    gpu = importlib.import_module("gpu")
    asked = ["--device", "cpu", "--models", str(tiny_base), "--precisions", "fp16", "--batches", "1", "3"]
    result = gpu.measure(gpu.parsed([*asked, "--rank", "2", "--steps", "6", "--context", "12"]))
    json.dumps(result, allow_nan=False)
    (model,) = result["models"]
    assert [row["batch"] for row in model["batches"]] == [1, 3]
    for row in model["batches"]:
        assert row["same_tokens"] == {"plain": True, "one": True, "each": True}
        for name in ("plain", "one", "each"):
            assert set(row[name]) == {"graphs", "no_graphs", "no_candidates"}
            assert all(found["tokens_per_second"] > 0 for found in row[name].values())
    assert set(model["engine"]["each"]) == {"1", "3"} and "no CUDA graphs" in model["engine"]["device"]
    assert set(model["providers"]) == {"CPUExecutionProvider"}


def test_cuda_graphs_that_cannot_be_are_refused_when_asked_for(tiny_slotted):
    with pytest.raises(DeviceError, match="CUDA graphs were asked for but do not work: the device is cpu"):
        Engine(tiny_slotted, rows=1, max_len=300, cuda_graphs=True)
