"""Removes erased feedback from a registry: from its files, so that no iteration replays it, and from an iteration that
was interrupted. Weights cannot be changed: the versions that were trained on it are marked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from metier.contracts import Sample
from metier.data.samples_file import samples_in, write_samples
from metier.disk import PART
from metier.disk.private import make_private
from metier.feedback.training_data import FeedbackData
from metier.iterate.registry import START, WORK, Registry
from metier.iterate.versions import HELD_OUT, POOL, VERSIONS

_TRAINED_ON = (POOL, "train.jsonl")


class ErasedSamples(NamedTuple):
    """What `erase_from_registry` found and removed."""

    versions: tuple[str, ...]
    """Versions whose weights were trained on it, or started from weights that were; every call finds them again."""
    samples: int
    """Distinct samples that this call removed from the files."""
    iteration_discarded: bool
    """Whether an interrupted or waiting iteration was discarded: the next one starts from the beginning."""


def erase_from_registry(registry: Registry, events: Iterable[int]) -> ErasedSamples:
    """Remove samples of erased feedback from a registry. If the process is killed, the next call completes it.

    Args:
        registry: of a task whose feedback is in that store.
        events: numbers of all events that were ever erased: `store.erased_numbers()`.

    Raises:
        UsageError: an iteration is running, which may hold them in memory.
    """
    with registry.iteration_lock(
        "which may be training on erased feedback",
        "run the same command when it has finished; the store keeps the list",
    ):
        return remove_events(registry, events)


def remove_events(registry: Registry, events: Iterable[int]) -> ErasedSamples:
    """`erase_from_registry` for a caller that holds the iteration lock."""
    erased = frozenset(events)
    if not erased:
        return ErasedSamples((), 0, False)
    with registry.lock:
        return _remove(registry, erased)


def trained_on_erased(registry: Registry) -> dict[str, tuple[int, ...]]:
    """Version → the erased events that it or its ancestors were trained on; versions without any are left out."""
    found: dict[str, tuple[int, ...]] = {}
    for name in registry.names():  # oldest first: a parent before its children
        version = registry.version(name)
        inherited = found.get(version.parent or "", ())
        if numbers := {*version.erased, *inherited}:
            found[name] = tuple(sorted(numbers))
    return found


def _remove(registry: Registry, erased: frozenset[int]) -> ErasedSamples:
    removed: set[int] = set()
    work, held_out = registry.folder / WORK, registry.folder / HELD_OUT
    trained = {name: _numbers_in(registry.path(name), _TRAINED_ON) & erased for name in registry.names()}
    measured_on = _numbers_in(registry.folder, (HELD_OUT,)) & erased
    # First the files that could restore the samples, then the marks, then the files that say which versions to mark.
    discarded = work.is_dir() and (bool(measured_on) or any(trained.values()) or _iteration_holds(work / START, erased))
    if discarded:
        (work / START).unlink(missing_ok=True)
        shutil.rmtree(work)
    for leftover in [*(registry.folder / VERSIONS).glob(f"{PART}*"), *_curve_runs(registry.folder / "curve", erased)]:
        shutil.rmtree(leftover, ignore_errors=True)
    for name, numbers in trained.items():
        if numbers:
            version = registry.version(name)
            registry.write_version(version.model_copy(update={"erased": tuple(sorted({*version.erased, *numbers}))}))
    folders = [registry.path(name) for name in registry.names()]
    for file in [*(folder / name for folder in folders for name in (*_TRAINED_ON, HELD_OUT)), held_out]:
        removed |= _rewrite_without(file, erased)
    versions = (name for name, numbers in trained_on_erased(registry).items() if erased.intersection(numbers))
    return ErasedSamples(tuple(versions), len(removed), discarded)


def _event_number(sample: Sample) -> int:
    """Number of the event that a sample came from; 0 where it did not come from feedback."""
    place = sample.provenance
    return place.line or 0 if place is not None and place.source == "feedback" else 0


def _numbers_in(folder: Path, names: Iterable[str]) -> set[int]:
    return {_event_number(sample) for name in names for sample in samples_in(folder / name)}


def _rewrite_without(file: Path, erased: frozenset[int]) -> set[int]:
    """Rewrite a file of samples if it holds erased ones; the numbers of those."""
    samples = samples_in(file)
    if found := erased.intersection(map(_event_number, samples)):
        write_samples(file, (sample for sample in samples if _event_number(sample) not in erased))
        make_private(file)
    return set(found)


def _iteration_holds(start: Path, erased: frozenset[int]) -> bool:
    """Whether an interrupted iteration holds erased feedback; True for one that cannot be read."""
    try:
        data = FeedbackData.model_validate(json.loads(start.read_bytes())["feedback"])
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return True
    places = (row.provenance for rows in (data.samples, data.preferences, data.judged) for row in rows)
    numbers = {place.line for place in places if place is not None} | {left.number for left in data.left_out}
    return bool(erased & numbers)


def _curve_runs(curve: Path, erased: frozenset[int]) -> list[Path]:
    """Runs of an interrupted learning curve that hold erased samples."""
    return [file.parent for file in curve.glob("*/train.jsonl") if _numbers_in(file.parent, (file.name,)) & erased]
