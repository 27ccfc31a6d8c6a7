"""The engine: rows decoded together give what each gives alone; every output fits; nothing waits for ever."""

import asyncio
import json
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metier.contracts import ContractError, DeviceError, RequestError, UsageError
from metier.decoding.device import cuda_missing
from metier.decoding.generation import Request
from metier.runtime import Engine, Sampling

TEXTS = [
    "a blue mug",
    "an oak lamp for the desk",
    "x" * 120,
    "name[Alimentum], area[city centre]",
    "7",
    "food[Italian]",
]


@pytest.fixture(scope="session")
def alone(engine):
    """Greedy tokens of each text, decoded with no other request around."""
    answers = {}
    for text in TEXTS:
        generation = engine.submit(engine.request("tiny.copy", {"facts": text}))
        generation.result(60)
        answers[text] = list(generation.ids)
    return answers


def torch_greedy(finetune, ids, tokens):
    import torch

    from metier.bases.resolve import resolve
    from metier.bases.torch_model import load_adapted

    model = load_adapted(resolve(finetune.card.recipe.base), finetune)
    with torch.inference_mode():
        out = model.generate(
            input_ids=torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids)),
            max_new_tokens=tokens,
            do_sample=False,
        )
    reply = out[0, len(ids) :].tolist()
    return reply[: reply.index(2)] if 2 in reply else reply


def test_greedy_tokens_are_those_of_peft_in_torch(engine, alone, tiny_finetune):
    for text in TEXTS[:3]:
        request = engine.request("tiny.copy", {"facts": text})
        assert alone[text] == torch_greedy(tiny_finetune, list(request.ids), request.max_tokens)
    assert max(len(ids) for ids in alone.values()) > 4


schedules = st.lists(
    st.tuples(st.sampled_from(TEXTS), st.integers(1, 24), st.sampled_from(["wait", "go", "cancel"])),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(schedules)
def test_rows_decoded_together_give_what_each_gives_alone(engine, alone, schedule):
    running = []
    for text, length, then in schedule:
        generation = engine.submit(engine.request("tiny.copy", {"facts": text}, max_tokens=length))
        running.append((text, length, then, generation))
        if then == "wait":
            generation.result(60)
        elif then == "cancel":
            next(iter(generation), None)
            generation.cancel()
    for text, length, then, generation in running:
        if then == "cancel":
            with pytest.raises(RequestError, match="cancelled") if generation_cancelled(generation) else nothing():
                generation.result(60)
            assert generation.ids == alone[text][: len(generation.ids)]
        else:
            generation.result(60)
            assert generation.ids == alone[text][:length]


def generation_cancelled(generation):
    list(generation)
    return generation.finish_reason == "cancelled"


def nothing():
    import contextlib

    return contextlib.nullcontext()


def test_a_prompt_longer_than_a_chunk_gives_the_same_reply(tiny_bundle, monkeypatch, alone):
    from metier.decoding import scheduler

    monkeypatch.setattr(scheduler, "CHUNK", 5)
    with Engine(tiny_bundle, rows=3, max_len=300) as engine:
        running = [engine.submit(engine.request("tiny.copy", {"facts": text})) for text in TEXTS]
        for text, generation in zip(TEXTS, running):
            generation.result(60)
            assert generation.ids == alone[text]


def test_many_inputs_come_back_in_order(engine, alone):
    answers = list(engine.run_many("tiny.copy", ({"facts": t} for t in TEXTS * 4)))
    one_by_one = [engine.run("tiny.copy", {"facts": t}) for t in TEXTS]
    assert answers == one_by_one * 4


def test_leaving_run_many_early_frees_the_rows(engine):
    answers = engine.run_many("tiny.copy", ({"facts": t} for t in TEXTS * 10))
    next(answers)
    answers.close()
    assert engine.run("tiny.copy", {"facts": "7"})["text"] is not None


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("task", ["tiny.item", "tiny.mood"])
def test_a_grammar_keeps_every_answer_valid_however_short_and_wild(engine, task, seed):
    contract = engine.bundle.task(task)
    rng = np.random.default_rng(seed)
    output = engine.run(
        task,
        {"facts": "lamp"},
        temperature=float(rng.uniform(0.5, 5)),
        seed=seed,
        max_tokens=int(rng.integers(32, 120)),
    )
    contract.check_output(output)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(32, 60), st.integers(0, 1000))
def test_a_json_answer_is_closed_in_time_at_any_bound(engine, bound, seed):
    generation = engine.submit(
        engine.request("tiny.item", {"facts": "lamp"}, max_tokens=bound, temperature=3.0, seed=seed)
    )
    json.loads(generation.result(60))
    assert len(generation.ids) <= bound


def test_a_bound_below_a_short_json_reply_is_refused_with_the_tokens_it_takes(engine):
    with pytest.raises(RequestError, match="a short reply of this form takes"):
        engine.run("tiny.item", {"facts": "lamp"}, max_tokens=3)


def test_the_same_seed_gives_the_same_answer_and_another_seed_another(engine):
    def text_of(seed):
        return engine.run("tiny.copy", {"facts": "lamp"}, temperature=2.0, top_k=50, top_p=0.95, seed=seed)

    assert text_of(1) == text_of(1)
    assert len({json.dumps(text_of(seed)) for seed in range(5)}) > 1


def test_a_reply_ends_before_its_stop_string_and_never_streams_a_part_of_it(engine):
    text = engine.run("tiny.copy", {"facts": "a blue mug"})["text"]
    stop = text[3:6]
    cut = text[: text.find(stop)]
    pieces = list(engine.stream("tiny.copy", {"facts": "a blue mug"}, stop=stop))
    assert "".join(pieces) == cut
    grown = ""
    for piece in pieces:
        grown += piece
        assert cut.startswith(grown)


def test_streamed_pieces_join_to_the_complete_reply(engine):
    request = engine.request("tiny.copy", {"facts": "a blue mug"})
    generation = engine.submit(request)
    assert "".join(generation) == generation.result()


def test_asyncio_runs_streams_and_cancels(engine, alone):
    async def calls():
        many = await asyncio.gather(*(engine.arun("tiny.copy", {"facts": t}) for t in TEXTS))
        streamed = "".join([piece async for piece in engine.astream("tiny.copy", {"facts": TEXTS[0]})])
        task = asyncio.create_task(engine.arun("tiny.copy", {"facts": "x" * 120}))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return many, streamed

    many, streamed = asyncio.run(calls())
    assert many == [engine.run("tiny.copy", {"facts": t}) for t in TEXTS]
    assert streamed.strip() == many[0]["text"]


def test_threads_may_share_one_engine(engine):
    expected = {t: engine.run("tiny.copy", {"facts": t}) for t in TEXTS}
    wrong = []

    def work(text):
        for _ in range(3):
            if engine.run("tiny.copy", {"facts": text}) != expected[text]:
                wrong.append(text)

    threads = [threading.Thread(target=work, args=(t,)) for t in TEXTS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong


def test_closing_ends_what_is_under_way(tiny_bundle):
    engine = Engine(tiny_bundle, rows=1, max_len=300)
    running = [engine.submit(engine.request("tiny.copy", {"facts": "x"}, max_tokens=200)) for _ in range(3)]
    engine.close()
    for generation in running:
        assert generation.done or generation.finish_reason
    with pytest.raises(RequestError, match="closed"):
        engine.run("tiny.copy", {"facts": "x"})


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda e: e.run("tiny.nothing", {"facts": "x"}), UsageError, r"tiny\.copy"),
        (lambda e: e.run("tiny.copy", {"fact": "x"}), ContractError, "facts"),
        (lambda e: e.run("tiny.copy", {"facts": "x"}, temprature=1), UsageError, "temperature"),
        (lambda e: e.run("tiny.copy", {"facts": "x " * 400}), RequestError, "do not fit"),
        (lambda e: e.run("tiny.copy", {"facts": "x"}, max_tokens=400), RequestError, "do not fit"),
        (lambda e: e.submit(Request(ids=())), RequestError, "empty"),
    ],
)
def test_an_invalid_request_is_refused_at_once(engine, call, error, message):
    with pytest.raises(error, match=message):
        call(engine)


def test_a_broken_grammar_fails_its_own_request_only(engine):
    bad = engine.submit(Request(ids=(5,), grammar="start: ((", max_tokens=5))
    good = engine.submit(engine.request("tiny.copy", {"facts": "7"}))
    with pytest.raises(ContractError, match="llguidance"):
        bad.result(60)
    good.result(60)


@pytest.mark.skipif(cuda_missing() is None, reason="CUDA works here")
def test_inactive_cuda_is_an_error_that_names_what_to_install(tiny_bundle):
    with pytest.raises(DeviceError, match=r"the device cuda is not active: .*\n.*(pip|driver)"):
        Engine(tiny_bundle, device="cuda")


def test_auto_names_the_device_it_chose_and_why(engine):
    assert engine.device == "cpu" and "auto: the bundle was exported for cpu" in engine.device_reason


def test_unknown_devices_are_named(tiny_bundle):
    with pytest.raises(UsageError, match="tpu"):
        Engine(tiny_bundle, device="tpu")


def test_the_runtime_never_loads_torch(tiny_bundle):
    code = (
        "import sys\nfrom metier.runtime import Engine\n"
        f"with Engine({str(tiny_bundle)!r}) as e: print(e.run('tiny.mood', {{'facts': 'rain'}}))\n"
        "assert not {'torch', 'transformers', 'onnx'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "mood" in done.stdout


@given(st.integers(0, 2**32), st.integers(1, 20), st.floats(0.1, 1))
def test_top_k_and_top_p_keep_only_the_likeliest(seed, top_k, top_p):
    from metier.decoding.sampling import Sampler

    logits = np.random.default_rng(seed).normal(size=200).astype(np.float32) * 3
    order = np.argsort(-logits)
    weights = np.exp(logits[order[:top_k]].astype(np.float64))
    kept = int(np.searchsorted(np.cumsum(weights), top_p * weights.sum())) + 1
    sampler = Sampler(Sampling(temperature=1.0, top_k=top_k, top_p=top_p, seed=seed), [], 200)
    assert {sampler.pick(logits) for _ in range(20)} <= set(order[:kept].tolist())


def test_a_repetition_penalty_lowers_the_scores_of_earlier_tokens():
    from metier.decoding.sampling import Sampler

    sampler = Sampler(Sampling(repetition_penalty=2.0), [1], 4)
    assert [sampler.pick(np.array([2.0, 3.0, 1.8, -1.0], np.float32)) for _ in range(2)] == [0, 2]
