"""Preferences and judged samples as token ids, rendered exactly as supervised fine-tuning renders its samples."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from metier.contracts import DataError, JudgedSample, Preference, Sample, TaskContract
from metier.data.leakage import leaks
from metier.decoding.tokenizer import ChatTokenizer
from metier.training.examples import encode_samples

Row = TypeVar("Row", Preference, JudgedSample)


@dataclass(frozen=True)
class Pair:
    """One preference as the model sees it."""

    prompt: tuple[int, ...]
    chosen: tuple[int, ...]
    """The reply's tokens and the end token."""
    rejected: tuple[int, ...]


def chosen_of(preference: Preference) -> Sample:
    """The preferred answer as a sample."""
    return _sample(preference, chosen=True)


def rejected_of(preference: Preference) -> Sample:
    """The other answer, in a sample's form."""
    return _sample(preference, chosen=False)


def encode_pairs(
    tokenizer: ChatTokenizer, tasks: Mapping[str, TaskContract], preferences: Sequence[Preference], max_length: int
) -> list[Pair]:
    """Pairs in the order of the preferences.

    Raises:
        UsageError: a preference belongs to another task.
        DataError: its answers are the same, are too long (each is named), or violate their contract.
    """
    chosen = encode_samples(tokenizer, tasks, [chosen_of(p) for p in preferences], max_length)
    rejected = encode_samples(tokenizer, tasks, [rejected_of(p) for p in preferences], max_length)
    pairs = [Pair(c.prompt, c.reply, r.reply) for c, r in zip(chosen, rejected, strict=True)]
    for number, (pair, preference) in enumerate(zip(pairs, preferences, strict=True), 1):
        if pair.chosen == pair.rejected:
            raise DataError(
                "the chosen and the rejected answer are the same",
                where=str(preference.provenance or f"preference {number}"),
                remedy="remove such pairs: they carry no preference",
            )
    return pairs


def read_preferences(path: Path) -> list[Preference]:
    """Preferences of a JSONL file, one a line, as `Preference` writes them.

    Raises:
        DataError: naming file and line.
    """
    return _rows(path, Preference, '{"task": …, "input": {…}, "chosen": {…}, "rejected": {…}}')


def read_judged(path: Path) -> tuple[list[Sample], list[Sample]]:
    """(good, bad) samples of a JSONL file, one a line, as `JudgedSample` writes them.

    Raises:
        DataError: naming file and line.
    """
    rows = _rows(path, JudgedSample, '{"task": …, "input": {…}, "output": {…}, "good": true or false}')
    return [row.sample() for row in rows if row.good], [row.sample() for row in rows if not row.good]


def _rows(path: Path, kind: type[Row], form: str) -> list[Row]:
    try:
        lines = path.read_text("utf-8").split("\n")  # not at other characters that Unicode treats as line ends
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the file cannot be read: {error}", where=str(path)) from error
    rows: list[Row] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            rows.append(kind.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            raise DataError(
                f"{'.'.join(map(str, first['loc'])) or 'the line'}: {first['msg']}",
                where=f"{path}:{number}",
                remedy=f"write {form}",
            ) from error
    return rows


def split_pairs(
    preferences: Sequence[Preference], share: float, seed: int
) -> tuple[list[Preference], list[Preference]]:
    """(to train on, held out); all pairs of one input are on the same side, which depends on input and seed only.

    Args:
        preferences: at least one.
        share: of the inputs to hold out, 0 to 1.
        seed: of the choice.
    """

    def place(preference: Preference) -> float:
        key = f"{seed}\n{preference.task}\n{json.dumps(preference.input, sort_keys=True)}"
        return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64

    is_held_out = [place(p) < share for p in preferences]
    return (
        [p for p, held in zip(preferences, is_held_out, strict=True) if not held],
        [p for p, held in zip(preferences, is_held_out, strict=True) if held],
    )


def without_held_out(preferences: Sequence[Preference], held_out: Sequence[Sample]) -> list[Preference]:
    """The preferences that may be trained on, in order: neither their input nor an answer resembles held-out data.

    Args:
        preferences: candidates.
        held_out: samples that the fine-tune is measured on; `metier.data.leakage.leaks` defines the resemblance.
    """
    similar = leaks([chosen_of(p) for p in preferences], held_out) | leaks(
        [rejected_of(p) for p in preferences], held_out
    )
    return [preference for place, preference in enumerate(preferences) if place not in similar]


def preferences_sha256(preferences: Iterable[Preference]) -> str:
    """Hash of the preferences in order, without their provenance."""
    digest = hashlib.sha256()
    for preference in preferences:
        digest.update(preference.model_dump_json(exclude={"provenance"}).encode() + b"\n")
    return digest.hexdigest()


def _sample(preference: Preference, *, chosen: bool) -> Sample:
    return Sample(
        task=preference.task,
        input=preference.input,
        output=preference.chosen if chosen else preference.rejected,
        language=preference.language,
        provenance=preference.provenance,
    )
