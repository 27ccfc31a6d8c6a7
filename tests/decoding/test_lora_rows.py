"""Rows with different LoRA adapters in one batch give the tokens of each alone, and those of peft in torch."""

import asyncio
import itertools
import threading
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from metier.contracts import Check, Finding, RequestError, UsageError
from metier.decoding.generation import Request
from metier.runtime import Engine
from metier.runtime.bundle import Bundle, open_bundle

NAMES = [None, "tuned", "plain", "rank1", "rslora", "patterns", "some", "last"]
TEXTS = [
    "a blue mug",
    "an oak lamp for the desk",
    "7",
    "name[Alimentum], area[city centre], food[Italian], price[cheap]",
]
TOKENS = 16


@pytest.fixture(scope="module")
def slotted(tiny_slotted):
    """An engine whose budget holds three of the seven adapters, so that schedules load and evict."""
    with Engine(tiny_slotted, rows=4, max_len=300, adapter_bytes=200_000) as engine:
        yield engine


def ids_of(engine, text):
    return engine.request("tiny.copy", {"facts": text}, adapter="base").ids


@pytest.fixture(scope="module")
def expected_ids(slotted, peft_greedy):
    """Greedy tokens of peft in torch for every text and adapter."""
    ids = {text: ids_of(slotted, text) for text in TEXTS}
    return {(name, text): peft_greedy(name, list(ids[text]), TOKENS) for name in NAMES for text in TEXTS}


def submit(engine, name, text, tokens=TOKENS):
    return engine.submit(Request(ids=ids_of(engine, text), max_tokens=tokens, adapter=name))


def test_each_adapter_alone_gives_the_tokens_of_peft_and_its_own_reply(slotted, expected_ids):
    for (name, text), expected in expected_ids.items():
        generation = submit(slotted, name, text)
        generation.result(60)
        assert generation.ids == expected, (name, text)
    assert len({tuple(expected_ids[name, "a blue mug"]) for name in NAMES}) == len(NAMES)


steps = st.tuples(
    st.sampled_from(NAMES),
    st.sampled_from(TEXTS),
    st.integers(1, TOKENS),
    st.sampled_from(["go", "go", "go", "wait", "cancel", "pause"]),
)


@settings(max_examples=220, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(steps, min_size=2, max_size=12))
def test_any_schedule_of_mixed_adapters_gives_row_by_row_the_tokens_of_peft(slotted, expected_ids, schedule):
    running = []
    for name, text, tokens, then in schedule:
        generation = submit(slotted, name, text, tokens)
        running.append((name, text, tokens, generation))
        if then == "wait":
            generation.result(60)
        elif then == "cancel":
            next(iter(generation), None)
            generation.cancel()
        elif then == "pause":
            time.sleep(0.002)
    for name, text, tokens, generation in running:
        list(generation)
        expected = expected_ids[name, text][:tokens]
        if generation.finish_reason == "cancelled":
            assert generation.ids == expected[: len(generation.ids)]
        else:
            assert generation.ids == expected, (name, text)


def test_the_budget_was_kept_while_schedules_ran(slotted, expected_ids):
    for name in NAMES[1:] * 2:
        submit(slotted, name, "7", 1).result(60)
    assert slotted.adapters.evictions > 0
    assert slotted.adapters.nbytes <= 200_000


def test_a_thousand_adapters_with_room_for_eight_lose_no_request(tiny_slotted, expected_ids):
    bundle = open_bundle(tiny_slotted)
    kinds = [entry.name for entry in bundle.manifest.adapters]
    entries = tuple(
        entry.model_copy(update={"name": f"a{number:04}"})
        for number, entry in zip(range(1000), itertools.cycle(bundle.manifest.adapters))
    )
    crowd = Bundle(bundle.path, bundle.manifest.model_copy(update={"adapters": entries}), bundle.tokenizer)
    largest = 110_000
    with Engine(crowd, rows=8, max_len=300, adapter_bytes=8 * largest) as engine:
        ids = ids_of(engine, "7")
        order = np.random.default_rng(0).permutation(1000)
        running = [
            (number, engine.submit(Request(ids=ids, max_tokens=4, adapter=f"a{number:04}"), wait=None))
            for number in order
        ]
        for number, generation in running:
            generation.result(120)
            assert generation.ids == expected_ids[kinds[number % len(kinds)], "7"][:4]
        assert engine.adapters.loads == 1000
        assert engine.adapters.nbytes <= 8 * largest


def test_live_weights_take_effect_at_once_and_running_requests_keep_theirs(slotted, tiny_loras, expected_ids):
    import json

    def weights(name):
        folder = tiny_loras[name]
        return load_file(folder / "adapter_model.safetensors"), json.loads((folder / "adapter_config.json").read_text())

    slotted.load_adapter("live", *weights("plain"))
    first = submit(slotted, "live", "a blue mug")
    next(iter(first))
    slotted.load_adapter("live", *weights("rslora"))
    second = submit(slotted, "live", "a blue mug")
    first.result(60)
    second.result(60)
    assert first.ids == expected_ids["plain", "a blue mug"]
    assert second.ids == expected_ids["rslora", "a blue mug"]
    slotted.adapters.drop("live")
    with pytest.raises(UsageError, match="no adapter live"):
        submit(slotted, "live", "7")


def test_waiting_and_repeated_requests_keep_weights_that_are_replaced_or_removed_meanwhile(
    tiny_slotted, tiny_loras, expected_ids, full
):
    import json

    def weights(name):
        folder = tiny_loras[name]
        return load_file(folder / "adapter_model.safetensors"), json.loads((folder / "adapter_config.json").read_text())

    with Engine(tiny_slotted, rows=1, max_len=300, adapter_bytes=1) as engine:
        engine.load_adapter("live", *weights("plain"))
        with full(engine, lambda: submit(engine, None, TEXTS[0], 250)) as busy:
            waiting = [(name, submit(engine, name, "7")) for name in ("live", "rslora", "some")]
            engine.load_adapter("live", *weights("rslora"))
            engine.load_adapter("some", *weights("plain"))  # covers one of the bundle's
            engine.adapters.drop("live")
            busy.cancel()
        for name, generation in waiting:
            generation.result(60)
            assert generation.ids == expected_ids["plain" if name == "live" else name, "7"]
        assert engine.adapters.loads == 2 and engine.adapters.evictions == 1, (
            "requests that wait take nothing from the budget"
        )

        def drops(input, output):
            engine.adapters.drop("live")
            return [Finding(message="again")]

        engine.load_adapter("live", *weights("plain"))
        facts = {"facts": "7"}
        check = Check("drops", ("tiny.copy",), drops, (facts, {"text": "a"}), (facts, {"text": ""}))
        assert engine.answer("tiny.copy", facts, [check], adapter="live").attempts == 3
        engine.load_adapter("live", *weights("plain"))
        assert asyncio.run(engine.aanswer("tiny.copy", facts, [check], adapter="live")).attempts == 3


def test_a_model_in_training_is_usable_without_an_export(slotted, tiny_base, peft_greedy, tiny_loras, expected_ids):
    from peft import PeftModel, get_peft_model_state_dict
    from transformers import AutoModelForCausalLM

    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_base), str(tiny_loras["patterns"]))
    config = model.peft_config["default"].to_dict()
    slotted.load_adapter("step10", get_peft_model_state_dict(model), config)
    generation = submit(slotted, "step10", "7")
    generation.result(60)
    assert generation.ids == expected_ids["patterns", "7"]


def test_prompts_with_the_same_beginning_are_prefilled_once_for_each_adapter(tiny_slotted, expected_ids):
    long = TEXTS[3]
    with Engine(tiny_slotted, rows=4, max_len=300) as engine:
        length = len(ids_of(engine, long))
        for name in ("plain", "rslora"):
            for _ in range(3):
                generation = submit(engine, name, long)
                generation.result(60)
                assert generation.ids == expected_ids[name, long]
        reused = engine._session._scheduler.prefix_cache.reused_tokens
        assert reused == 4 * (length - 1), (
            "two of three prompts per adapter come from KV, none from the other adapter's"
        )


def test_a_task_finds_the_adapter_that_was_trained_for_it(slotted, expected_ids):
    request = slotted.request("tiny.copy", {"facts": "7"})
    assert request.adapter == "tuned"
    assert slotted.request("tiny.copy", {"facts": "7"}, adapter="base").adapter == "base"


def test_an_unknown_adapter_is_named_with_its_neighbour(slotted):
    with pytest.raises(UsageError, match="did you mean plain"):
        submit(slotted, "plian", "7")


def test_a_full_queue_refuses_and_a_waiting_caller_gets_a_place(tiny_slotted, full):
    with Engine(tiny_slotted, rows=1, max_len=300, queue=2) as engine:
        with full(engine, lambda: submit(engine, None, TEXTS[0], 200)) as busy:
            held = [busy, *(submit(engine, None, "7", 2) for _ in range(2))]
            with pytest.raises(RequestError, match="2 requests wait already"):
                submit(engine, None, "7")
        late = engine.submit(Request(ids=(5, 6), max_tokens=2), wait=None)
        for generation in [*held, late]:
            generation.result(60)


def test_a_deadline_ends_a_request_in_a_row_and_in_the_queue(tiny_slotted):
    with Engine(tiny_slotted, rows=1, max_len=400) as engine:
        ids = ids_of(engine, "7")
        slow = engine.submit(Request(ids=ids, max_tokens=300, deadline=0.002, grammar="start: /[a-z]{300}/"))
        behind = engine.submit(Request(ids=ids, max_tokens=300, deadline=0.001))
        for generation in (slow, behind):
            with pytest.raises(RequestError, match="deadline"):
                generation.result(60)
        submit(engine, None, "7", 2).result(60)


def test_max_tokens_total_limits_admission_and_nothing_starves(tiny_slotted):
    with Engine(tiny_slotted, rows=4, max_len=300, max_tokens_total=100) as engine:
        ids = ids_of(engine, "7")
        with pytest.raises(RequestError, match="max_tokens_total"):
            engine.submit(Request(ids=ids, max_tokens=100))
        scheduler, seen = engine._session._scheduler, []
        step = scheduler._decoder.step

        def counted(tokens):
            seen.append(sum(s.generation.request.tokens for s in scheduler._rows if s is not None))
            step(tokens)

        scheduler._decoder.step = counted
        running = [engine.submit(Request(ids=ids, max_tokens=20)) for _ in range(12)]
        for generation in running:
            generation.result(60)
        assert 0 < max(seen) <= 100


def test_cancelling_frees_the_row_for_the_next(tiny_slotted, expected_ids):
    with Engine(tiny_slotted, rows=1, max_len=400) as engine:
        slow = submit(engine, "plain", TEXTS[0], 250)
        next(iter(slow))
        slow.cancel()
        after = submit(engine, "rslora", TEXTS[0])
        after.result(60)
        assert after.ids == expected_ids["rslora", TEXTS[0]]


def test_many_threads_with_many_adapters_get_their_own_answers(slotted, expected_ids):
    wrong = []

    def work(name):
        for text in TEXTS:
            generation = submit(slotted, name, text)
            generation.result(60)
            if generation.ids != expected_ids[name, text]:
                wrong.append((name, text))

    threads = [threading.Thread(target=work, args=(name,)) for name in NAMES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not wrong


def test_an_adapter_that_is_in_memory_is_looked_up_and_not_loaded(tiny_slotted, monkeypatch):
    """The milliseconds of both, for 5 MB, come from the benchmark."""
    with Engine(tiny_slotted, rows=1, max_len=300) as engine:
        cold = engine.adapters.get("plain")
        monkeypatch.setattr("metier.decoding.adapter_store.read_folder", None)  # any read of a file now fails
        assert engine.adapters.get("plain") is cold and engine.adapters.loads == 1
