"""How sure a head of a running engine is of the labels that are right, and how long it takes: what judging needs beside
its answers. Without torch, and no recorder hears of it."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from metier.contracts import Sample, TaskContract
from metier.contracts.heads import TRUNK_FILE
from metier.evaluate.systems import head_outputs
from metier.metrics.cases import Case
from metier.runtime.engine import Engine
from metier.runtime.head_labels import targets_of
from metier.runtime.input_bridges import skip_input_bridges


def label_losses(
    engine: Engine, head: str, task: TaskContract, samples: Sequence[Sample]
) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Of each sample the nats of its right labels together, and how many there are: one, or one a word.

    Raises:
        DataError: a span does not stand in its text.
    """
    asked = engine.heads[head]
    items = [
        asked.item(engine.prepare_input(task.name, skip_input_bridges(task, s.input)), s.language) for s in samples
    ]
    nats, labels = [], []
    for sample, item, scores in zip(samples, items, asked.scores(items), strict=True):
        targets = targets_of(task, sample, item.head_input)
        logits = scores.logits.astype(np.float64)  # [things, classes]
        right = logits[np.arange(len(targets)), targets]
        nats.append(float((np.logaddexp.reduce(logits, axis=1) - right).sum()))
        labels.append(len(targets))
    return tuple(nats), tuple(labels)


def milliseconds(engine: Engine, head: str, task: TaskContract, case: Case) -> float:
    """Of one answer to a text that the engine has not read yet."""
    engine.heads.clear_cache()
    begun = time.perf_counter()
    head_outputs(engine, head, task, [case])
    return 1000 * (time.perf_counter() - begun)


def trunk_file(engine: Engine, head: str) -> str:
    """The graph that a head reads, as the bundle's manifest names it."""
    paths = {trunk.name: trunk.path for trunk in engine.bundle.manifest.trunks}
    return f"{paths[engine.heads[head].entry.trunk]}/{TRUNK_FILE}"
