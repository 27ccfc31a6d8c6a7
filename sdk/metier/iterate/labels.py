"""Measures a head of a running engine: the likelihood of the right labels, and the time of an answer. Nothing is
recorded, and torch is not needed."""

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
    """(nats of each sample's right labels, number of its labels): one label, or one per word.

    Raises:
        DataError: a span is not part of its text.
    """
    running = engine.heads[head]
    items = [
        running.item(engine.prepare_input(task.name, skip_input_bridges(task, s.input)), s.language) for s in samples
    ]
    nats, labels = [], []
    for sample, item, scores in zip(samples, items, running.scores(items), strict=True):
        targets = targets_of(task, sample, item.head_input)
        logits = scores.logits.astype(np.float64)  # [labels, classes]
        right = logits[np.arange(len(targets)), targets]
        nats.append(float((np.logaddexp.reduce(logits, axis=1) - right).sum()))
        labels.append(len(targets))
    return tuple(nats), tuple(labels)


def milliseconds(engine: Engine, head: str, task: TaskContract, case: Case) -> float:
    """Time of one answer to an input that the engine has not cached, in milliseconds."""
    engine.heads.clear_cache()
    started = time.perf_counter()
    head_outputs(engine, head, task, [case])
    return 1000 * (time.perf_counter() - started)


def trunk_file(engine: Engine, head: str) -> str:
    """File of the trunk that a head uses, as the bundle's manifest names it."""
    paths = {trunk.name: trunk.path for trunk in engine.bundle.manifest.trunks}
    return f"{paths[engine.heads[head].entry.trunk]}/{TRUNK_FILE}"
