"""The decoder's rows: read together, stepped together, each says what it says alone."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from metier.runtime import decoder
from metier.runtime.adapter_store import AdapterStore
from metier.runtime.bundle import open_bundle
from metier.runtime.decoder import Decoder
from metier.runtime.device import open_session

LENGTHS = (7, 20, 1, 13)


@pytest.fixture(scope="module")
def decoder_of(tiny_slotted):
    """A decoder of the tiny slotted bundle with four rows, and the LoRA adapters that they wear."""
    bundle = open_bundle(tiny_slotted)
    graph, slots = bundle.manifest.graph, bundle.manifest.slots
    store = AdapterStore(bundle.path, bundle.manifest)
    opened = open_session(bundle.path / graph.file, "cpu", threads=1)

    def make():
        rows = Decoder(opened, graph, rows=4, max_len=64, slots=slots)
        for row, name in enumerate(("plain", None, "patterns", "rslora")):
            rows.adapters.wear(row, name and store.get(name))
        return rows

    return make


def prompts():
    rng = np.random.default_rng(0)
    return [rng.integers(3, 300, length) for length in LENGTHS]


def said(rows, steps=6):
    """Greedy tokens of every row after its prompt, [steps, rows], each row's last token first."""
    tokens, found = np.array([prompt[-1] for prompt in prompts()]), []
    for _ in range(steps):
        rows.step(tokens)
        tokens = np.array([int(rows.logits(row).argmax()) for row in range(4)])
        found.append(tokens)
    return np.stack(found)


def test_prompts_of_any_length_read_in_one_run_are_what_each_is_alone(decoder_of):
    alone, together = decoder_of(), decoder_of()
    heads = [prompt[:-1] for prompt in prompts()]
    for row, head in enumerate(heads):
        if len(head):
            alone.prefill(row, head)
    together.prefill(0, *heads[:2])
    together.prefill(3, heads[3])
    assert list(together.lengths) == [length - 1 for length in LENGTHS]
    assert np.array_equal(said(alone), said(together))


def test_rows_read_together_may_begin_anywhere(decoder_of):
    alone, together = decoder_of(), decoder_of()
    heads = [prompt[:-1] for prompt in prompts()]
    for rows in (alone, together):
        rows.prefill(0, heads[0])
        rows.step(np.array([5, 5, 5, 5]))  # over rows that nobody has filled yet
        for row in range(4):
            rows.truncate(row, 0)
        rows.prefill(0, heads[0])
    for row in (1, 3):
        alone.prefill(row, heads[row])
    alone.prefill(2, np.array([9, 9]))
    together.prefill(1, heads[1], np.array([9, 9]), heads[3])
    for rows in (alone, together):
        rows.truncate(2, 0)
    assert np.array_equal(said(alone), said(together))


def test_a_mask_of_the_full_width_changes_no_token(decoder_of, monkeypatch):
    """What fixed shapes need, on a GPU: the width of the mask says how much may be there, not how much is."""
    found = []
    for width in (8, 64):
        monkeypatch.setattr(decoder, "MASK_STEP", width)
        rows = decoder_of()
        for row, prompt in enumerate(prompts()):
            if len(prompt) > 1:
                rows.prefill(row, prompt[:-1])
        found.append(said(rows, 20))
        assert rows._mask.shape == (4, 40 if width == 8 else 64)
    assert np.array_equal(*found)


def test_a_step_of_fixed_shapes_and_addresses_computes_what_the_decoder_does(tiny_slotted, monkeypatch):
    """The binding that the GPU benchmark captures, on the CPU, replayed: a step writes where it wrote before."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    gpu = importlib.import_module("gpu")
    manifest = open_bundle(tiny_slotted).manifest
    opened = open_session(tiny_slotted / manifest.graph.file, "cpu", threads=1)
    binding, keep = gpu.bind_fixed(opened.session, manifest, 3, "cpu")
    for _ in range(3):
        opened.session.run_with_iobinding(binding)
    rows = Decoder(opened, manifest.graph, rows=3, max_len=gpu.CONTEXT, slots=manifest.slots)
    for row in range(3):
        rows.resume(row, gpu.CONTEXT - 1)
    rows.step(np.array([5, 5, 5]))
    assert np.array_equal(keep[2].numpy()[:, 0], np.stack([rows.logits(row) for row in range(3)]))
    before = keep[2].numpy().copy()
    worn, keep = gpu.bind_fixed(opened.session, manifest, 3, "cpu", rank=2)
    opened.session.run_with_iobinding(worn)
    assert len({row.tobytes() for row in keep[2].numpy()}) == 3 and not np.array_equal(before, keep[2].numpy())
