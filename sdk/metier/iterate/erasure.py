"""What was erased from the feedback store, taken out of a registry too: out of its files, so that no turn replays it,
and out of a turn that was begun. Weights cannot be made to forget: the versions that learnt it are marked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from metier.contracts import Sample
from metier.data.samples_file import samples_in, write_samples
from metier.disk import PART, write_atomic
from metier.feedback.training_data import FeedbackData
from metier.iterate.registry import BEGUN, HELD_OUT, VERSIONS, WORK, Registry

_LEARNT = ("pool.jsonl", "train.jsonl")


class Forgotten(NamedTuple):
    """What `forget` found."""

    versions: tuple[str, ...]
    """Whose weights learnt it, or go on from weights that did; found again however often it is asked."""
    samples: int
    """Distinct ones that were taken out of the files this time."""
    turn: bool
    """Whether a turn that was interrupted, or waits, was thrown away: the next begins anew."""


def forget(registry: Registry, events: Iterable[int]) -> Forgotten:
    """Take out of a registry what it learnt from feedback that is erased. Killed, it is done by whoever calls it again.

    Args:
        registry: of a task whose feedback is in that store.
        events: numbers of all that was ever erased: `store.erased_numbers()`.

    Raises:
        UsageError: a turn is being taken, which may hold it in memory.
    """
    with registry.between_turns(
        "which may be learning from what is erased", "do the same again when it has ended: the store knows what it was"
    ):
        return take_out(registry, events)


def take_out(registry: Registry, events: Iterable[int]) -> Forgotten:
    """As `forget`, for whoever takes the turn."""
    wanted = frozenset(events)
    if not wanted:
        return Forgotten((), 0, False)
    with registry.alone():
        return _take_out(registry, wanted)


def learnt_erased(registry: Registry) -> dict[str, tuple[int, ...]]:
    """Version → the erased events that its weights learnt, or those that they go on from; the others are not in it."""
    found: dict[str, tuple[int, ...]] = {}
    for name in registry.names():  # oldest first: a parent before its children
        version = registry.version(name)
        inherited = found.get(version.parent or "", ())
        if numbers := {*version.forgotten, *inherited}:
            found[name] = tuple(sorted(numbers))
    return found


def _take_out(registry: Registry, wanted: frozenset[int]) -> Forgotten:
    gone: set[int] = set()
    work, held_out = registry.folder / WORK, registry.folder / HELD_OUT
    learnt = {name: _of(registry.path(name), _LEARNT) & wanted for name in registry.names()}
    apart = _of(registry.folder, (HELD_OUT,)) & wanted
    # First what could bring it back, then the marks, then the files that say what is to be marked.
    dropped = work.is_dir() and (bool(apart) or any(learnt.values()) or _began_with(work / BEGUN, wanted))
    if dropped:
        (work / BEGUN).unlink(missing_ok=True)
        shutil.rmtree(work)
    for leftover in [*(registry.folder / VERSIONS).glob(f"{PART}*"), *_runs(registry.folder / "curve", wanted)]:
        shutil.rmtree(leftover, ignore_errors=True)
    for name, numbers in learnt.items():
        if numbers:
            version = registry.version(name)
            marked = version.model_copy(update={"forgotten": tuple(sorted({*version.forgotten, *numbers}))})
            write_atomic(registry.path(name) / "version.json", marked.model_dump_json(indent=1))
    folders = [registry.path(name) for name in registry.names()]
    for file in [*(folder / name for folder in folders for name in (*_LEARNT, HELD_OUT)), held_out]:
        gone |= _without(file, wanted)
    versions = (name for name, numbers in learnt_erased(registry).items() if wanted.intersection(numbers))
    return Forgotten(tuple(versions), len(gone), dropped)


def _number(sample: Sample) -> int:
    """Of the event that it was made of; 0 where it is no feedback."""
    place = sample.provenance
    return place.line or 0 if place is not None and place.source == "feedback" else 0


def _of(folder: Path, names: Iterable[str]) -> set[int]:
    return {_number(sample) for name in names for sample in samples_in(folder / name)}


def _without(file: Path, wanted: frozenset[int]) -> set[int]:
    """Rewrite a file of samples, where it holds any of them; the numbers of those that it held."""
    samples = samples_in(file)
    if found := wanted.intersection(map(_number, samples)):
        write_samples(file, (sample for sample in samples if _number(sample) not in wanted))
    return set(found)


def _began_with(begun: Path, wanted: frozenset[int]) -> bool:
    """Whether a turn that was begun holds any of it; one that cannot be read may."""
    try:
        said = FeedbackData.model_validate(json.loads(begun.read_bytes())["harvest"])
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return True
    places = (row.provenance for rows in (said.samples, said.preferences, said.judged) for row in rows)
    numbers = {place.line for place in places if place is not None} | {left.number for left in said.left_out}
    return bool(wanted & numbers)


def _runs(curve: Path, wanted: frozenset[int]) -> list[Path]:
    """Runs of a learning curve that was interrupted before it removed them."""
    return [file.parent for file in curve.glob("*/train.jsonl") if _of(file.parent, (file.name,)) & wanted]
