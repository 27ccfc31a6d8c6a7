"""The decoder's rows: read together, stepped together, each says what it says alone."""

import numpy as np
import pytest

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

    def make(**options):
        decoder = Decoder(opened, graph, rows=4, max_len=64, slots=slots, **options)
        for row, name in enumerate(("plain", None, "patterns", "rslora")):
            decoder.adapters.wear(row, name and store.get(name))
        return decoder

    return make


def prompts():
    rng = np.random.default_rng(0)
    return [rng.integers(3, 300, length) for length in LENGTHS]


def said(decoder, steps=6):
    """Greedy tokens of every row after its prompt, [steps, rows], each row's last token first."""
    tokens, found = np.array([prompt[-1] for prompt in prompts()]), []
    for _ in range(steps):
        decoder.step(tokens)
        tokens = np.array([int(decoder.logits(row).argmax()) for row in range(4)])
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
    for decoder in (alone, together):
        decoder.prefill(0, heads[0])
        decoder.step(np.array([5, 5, 5, 5]))  # over rows that nobody has filled yet
        for row in range(4):
            decoder.truncate(row, 0)
        decoder.prefill(0, heads[0])
    for row in (1, 3):
        alone.prefill(row, heads[row])
    alone.prefill(2, np.array([9, 9]))
    together.prefill(1, heads[1], np.array([9, 9]), heads[3])
    for decoder in (alone, together):
        decoder.truncate(2, 0)
    assert np.array_equal(said(alone), said(together))
