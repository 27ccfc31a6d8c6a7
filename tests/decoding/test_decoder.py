"""The decoder's rows: read together, stepped together, each gives the tokens that it gives alone, in both kinds of
memory."""

from pathlib import Path

import numpy as np
import pytest

from metier.contracts.bundle import Graph
from metier.decoding import device, steps
from metier.decoding.adapter_store import AdapterStore
from metier.decoding.decoder import Decoder
from metier.decoding.device import open_session
from metier.decoding.kv import KV
from metier.decoding.memory import address_of, rows_of, zeros
from metier.runtime.bundle import open_bundle

LENGTHS = (7, 20, 1, 13)
ADAPTERS = ("plain", None, "patterns", "rslora")


@pytest.fixture(scope="module")
def decoder_of(tiny_slotted):
    """Builds a decoder of the tiny slotted bundle with four rows, each with its LoRA, in host memory or `resident`."""
    bundle = open_bundle(tiny_slotted)
    graph, slots = bundle.manifest.graph, bundle.manifest.slots
    store = AdapterStore(bundle.path, bundle.manifest)
    opened = open_session(bundle.path / graph.file, "cpu", threads=1)
    few = open_session(bundle.path / graph.candidates, "cpu", threads=1)

    def build(resident=False, adapters=ADAPTERS):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(device, "RESIDENT", {"cpu"} if resident else set())
            rows = Decoder(opened, graph, rows=4, max_len=64, slots=slots, candidates=few)
        for row, name in enumerate(adapters):
            rows.adapters.load(row, name and store.get(name))
        return rows

    return build


def prompts():
    rng = np.random.default_rng(0)
    return [rng.integers(3, 300, length) for length in LENGTHS]


def prefill(rows):
    for row, prompt in enumerate(prompts()):
        if len(prompt) > 1:
            rows.prefill(row, prompt[:-1])
    return rows


def greedy_tokens(rows, count=6):
    """Greedy tokens of every row after its prompt, [steps, rows], each row's last token first."""
    tokens, found = np.array([prompt[-1] for prompt in prompts()]), []
    for _ in range(count):
        rows.step(tokens)
        tokens = np.array([int(rows.logits(row).argmax()) for row in range(4)])
        found.append(tokens)
    return np.stack(found)


@pytest.mark.parametrize("resident", [False, True])
def test_prompts_of_any_length_prefilled_in_one_run_give_the_tokens_of_each_alone(decoder_of, resident):
    alone, together = prefill(decoder_of()), decoder_of(resident)
    heads = [prompt[:-1] for prompt in prompts()]
    together.prefill(0, *heads[:2])
    together.prefill(3, heads[3])
    assert list(together.lengths) == [length - 1 for length in LENGTHS]
    assert np.array_equal(greedy_tokens(alone), greedy_tokens(together))


@pytest.mark.parametrize("resident", [False, True])
def test_rows_prefilled_together_can_begin_anywhere(decoder_of, resident):
    alone, together = decoder_of(), decoder_of(resident)
    heads = [prompt[:-1] for prompt in prompts()]
    for rows in (alone, together):
        rows.prefill(0, heads[0])
        rows.step(np.array([5, 5, 5, 5]))  # over rows that are still empty
        for row in range(4):
            rows.truncate(row, 0)
        rows.prefill(0, heads[0])
    for row in (1, 3):
        alone.prefill(row, heads[row])
    alone.prefill(2, np.array([9, 9]))
    together.prefill(1, heads[1], np.array([9, 9]), heads[3])
    for rows in (alone, together):
        rows.truncate(2, 0)
    assert np.array_equal(greedy_tokens(alone), greedy_tokens(together))


@pytest.mark.parametrize("adapters", [ADAPTERS, ("plain",) * 4, (None,) * 4])
def test_fixed_shapes_at_fixed_addresses_change_no_token(decoder_of, adapters, monkeypatch):
    """Whatever the mask's width, and whether one LoRA is active in all rows, none, or another in each."""
    monkeypatch.setattr(steps, "MASK_STEP", 8)
    ragged, fixed = prefill(decoder_of(adapters=adapters)), prefill(decoder_of(resident=True, adapters=adapters))
    assert np.array_equal(greedy_tokens(ragged, 20), greedy_tokens(fixed, 20))
    assert [width for _, width, _ in fixed._steps._shapes] == [32, 64]


def test_a_shape_keeps_its_addresses_while_adapters_of_its_ranks_change(decoder_of, tiny_slotted):
    bundle = open_bundle(tiny_slotted)
    store = AdapterStore(bundle.path, bundle.manifest)
    rows = prefill(decoder_of(resident=True))
    greedy_tokens(rows, 2)
    (before,) = rows._steps._shapes.values()
    rows.adapters.load(1, store.get("rank1"))
    greedy_tokens(rows, 2)
    assert list(rows._steps._shapes.values()) == [before]
    for row in range(4):
        rows.adapters.load(row, store.get("rank1") if row else None)
    greedy_tokens(rows, 1)
    (after,) = rows._steps._shapes.values()
    assert after.ids is not before.ids, "ranks fell by more than half: the old batch and its shapes are released"


def test_a_step_is_padded_to_one_of_a_few_row_counts(decoder_of):
    fixed, ragged = decoder_of(resident=True), decoder_of()
    assert [fixed.padded(count) for count in (1, 2, 3, 4)] == [1, 2, 4, 4]
    assert [ragged.padded(count) for count in (1, 2, 3, 4)] == [1, 2, 3, 4]


def test_a_row_that_pads_a_step_keeps_its_tokens(decoder_of):
    """It writes behind its length repeatedly, and continues later unchanged."""
    alone, crowded = prefill(decoder_of()), prefill(decoder_of(resident=True))
    for _ in range(5):
        crowded.step(np.array([9, 9, 9, 9]))
        for row, length in enumerate(LENGTHS):
            crowded.truncate(row, length - 1)
    assert np.array_equal(greedy_tokens(alone), greedy_tokens(crowded))


def test_the_candidates_of_a_row_are_its_best_tokens_and_the_sum_over_all(decoder_of):
    rows = prefill(decoder_of(resident=True))
    rows.set_temperature(1, 0.7)
    greedy_tokens(rows, 1)
    for row, temperature in enumerate((1.0, 0.7, 1.0, 1.0)):
        scores = rows.scores(row)
        logits, few = scores.full(), scores.candidates
        order = np.argsort(-logits, kind="stable")[:64]
        assert np.array_equal(few.ids, order) and np.array_equal(few.values, logits[order])
        weights = np.exp((logits.astype(np.float64) - logits.max()) / temperature)
        assert few.mass == pytest.approx(weights.sum(), rel=1e-6) and few.temperature == temperature
        token = int(order[3])
        expected = float(logits[token] - logits.max() - np.log(np.exp(logits - logits.max()).sum()))
        assert scores.log_probability(token) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64])
def test_a_view_of_rows_writes_and_reads_only_those_rows(dtype):
    tensor = zeros((4, 3, 5), dtype, "cpu")
    rows_of(tensor, 2, 1).update_inplace(np.ones((1, 3, 5), dtype))
    assert tensor.shape() == [4, 3, 5]
    assert tensor.numpy().sum(axis=(1, 2)).tolist() == [0, 0, 15, 0]
    view = rows_of(tensor, 2, 2)
    assert view.data_ptr() == address_of(tensor, 2) and view.numpy().sum(axis=(1, 2)).tolist() == [15, 0]


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's memory figures")
def test_short_sequences_in_long_rows_cost_only_the_pages_that_they_write():
    def committed():
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) * 1024

    graph = Graph(
        layers=4, kv_heads=2, head_dim=64, vocab_size=9, context_length=8192, io_dtype="float32", eos_token_ids=(1,)
    )  # fmt: skip
    before = committed()
    memory = KV(graph, rows=8, max_len=8192, device="cpu")
    for buffer in memory._host:
        assert not buffer[3].any()
        buffer[3, :, :20] = 1.0
        assert buffer[3, :, :20].all() and not buffer[4].any()
    assert sum(buffer.nbytes for buffer in memory._host) == 8 * 8192 * memory.bytes_per_token == 268_435_456
    assert committed() - before < 8 << 20


def test_without_onnxruntime_the_error_names_both_install_commands():
    import subprocess
    import sys

    code = (
        "import sys\nsys.modules['onnxruntime'] = None\n"
        "from metier.contracts import DeviceError\n"
        "try:\n    from metier.runtime.engine import Engine\n"
        "except DeviceError as error:\n    print(error.what, '|', error.remedy)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("onnxruntime is not installed")
    assert "[cpu]" in done.stdout and "[gpu]" in done.stdout
