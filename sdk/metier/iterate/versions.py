"""The versions of a registry on disk: their fine-tunes, training samples and descriptions. It does not know which
of them are in use."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import ValidationError

from metier.adapt.methods import is_live
from metier.bases.finetune import load_finetune
from metier.contracts import DataError, FineTune, Sample, TaskContract, UsageError
from metier.contracts.finetune import CARD, HEAD, PEFT_CONFIG, WEIGHTS
from metier.contracts.heads import HEAD_FILE
from metier.data.samples_file import read_samples, write_samples
from metier.disk import atomic_folder, write_atomic
from metier.disk.private import make_private
from metier.iterate.version import NAME, REGISTRY_VERSION, Version

VERSIONS, HELD_OUT, POOL, VERSION_FILE = "versions", "held_out.jsonl", "pool.jsonl", "version.json"
_COPIED = (WEIGHTS, PEFT_CONFIG, HEAD, HEAD_FILE, CARD, "recipe.yaml", "train.jsonl")


class Versions:
    """The versions in a registry's folder. Any number of processes may have it open."""

    def __init__(self, folder: Path) -> None:
        """
        Args:
            folder: of the registry.
        """
        self.folder = folder
        self._lock = FileLock(folder / ".lock")

    @cached_property
    def task(self) -> TaskContract:
        """The contract of the registry's task."""
        return FineTune.packaged(self.path(self.names()[0])).card.tasks[0]

    def names(self) -> list[str]:
        """Every version, oldest first."""
        names = [path.name for path in (self.folder / VERSIONS).iterdir() if re.fullmatch(NAME, path.name)]
        return sorted(names, key=lambda name: int(name[1:]))

    def path(self, name: str) -> Path:
        """The folder of a version.

        Raises:
            UsageError: there is no version of that name.
        """
        if name not in self.names():
            raise UsageError(
                f"there is no version {name}", where=str(self.folder), remedy=f"use one of: {', '.join(self.names())}"
            )
        return self.folder / VERSIONS / name

    def adapter(self, name: str) -> str:
        """A version's name in an engine and in the feedback store: `shop.describe.v0002`, distinct between tasks."""
        return f"{self.task.name}.{name}"

    def version(self, name: str) -> Version:
        """How a version came to be.

        Raises:
            DataError: its file is damaged, or was written by an earlier Metier.
        """
        file = self.path(name) / VERSION_FILE
        try:
            return Version.model_validate_json(file.read_bytes())
        except ValidationError as error:
            raise unreadable(file, error) from error

    def write_version(self, version: Version) -> None:
        """Replace the description of a version."""
        file = self.path(version.name) / VERSION_FILE
        write_atomic(file, version.model_dump_json(indent=1))
        make_private(file)

    def finetune(self, name: str) -> FineTune:
        """A version's weights, verified against their card."""
        return load_finetune(self.path(name), produces=None)

    def pool(self, name: str) -> list[Sample]:
        """All samples that a version and its ancestors were trained on, without those erased since."""
        return list(read_samples(self.path(name) / POOL))

    def held_out(self) -> list[Sample]:
        """The samples that every version is measured on; no version is trained on them."""
        return list(read_samples(self.folder / HELD_OUT))

    def add(self, finetune: FineTune, pool: Sequence[Sample], **fields: Any) -> Version:
        """Store a fine-tune as a new version that is not in use yet.

        Args:
            finetune: from `adapt`.
            pool: all samples that it and its ancestors were trained on.
            **fields: of `Version`: parent, until, skipped, new_samples, replayed, verdict. A version with a parent and
                no `until` takes the parent's `until` and `skipped`.

        Raises:
            UsageError: its weights are not an adapter or head that a running engine can load.
        """
        check_method(finetune)
        if fields.get("parent") and "until" not in fields:
            parent = self.version(fields["parent"])
            fields = {"until": parent.until, "skipped": parent.skipped, **fields}
        with self._lock:
            last = max((int(name[1:]) for name in self.names()), default=0)
            version = Version(name=f"v{last + 1:04d}", created=datetime.now(UTC), **fields)
            write_version_folder(self.folder / VERSIONS / version.name, finetune, version, pool)
            return version

    def trained_on(self, events: Iterable[int]) -> list[str]:
        """Versions that were trained on any of these feedback events, by their numbers."""
        wanted = set(events)

        def is_affected(name: str) -> bool:
            if wanted.intersection(self.version(name).erased):
                return True
            places = (sample.provenance for sample in self.pool(name))
            return any(p is not None and p.source == "feedback" and p.line in wanted for p in places)

        return [name for name in self.names() if is_affected(name)]


def check_method(finetune: FineTune) -> None:
    """See that a fine-tune's method gives weights that a running engine can load.

    Raises:
        UsageError: it does not.
    """
    if not is_live(finetune.card.recipe):
        raise UsageError(
            "a registry holds LoRA weights that generate text, or heads over frozen features; other methods change the"
            " graph, which a running engine cannot reload",
            where=str(finetune.path),
            remedy="adapt with produces: text and method: lora, or with produces: head and method: features",
        )


def write_version_folder(folder: Path, finetune: FineTune, version: Version, pool: Iterable[Sample]) -> None:
    """Write a version's folder, completely or not at all, readable by its owner only."""
    with atomic_folder(folder, "a version") as part:
        for name in _COPIED:
            if (finetune.path / name).is_file():
                shutil.copyfile(finetune.path / name, part / name)
        write_samples(part / POOL, pool)
        # Exports are proved on it; training within an iteration has no held-out samples of its own.
        shutil.copyfile(folder.parent.parent / HELD_OUT, part / HELD_OUT)
        (part / VERSION_FILE).write_text(version.model_dump_json(indent=1), "utf-8")
        make_private(part)


def unreadable(file: Path, error: ValidationError) -> DataError:
    """Why a file of the registry does not parse: damage, or another version of Metier."""
    first = error.errors()[0]
    if first["loc"] == ("schema_version",) or any(e["type"] == "extra_forbidden" for e in error.errors()):
        return DataError(
            f"the registry was written by another version of Metier; this one reads format {REGISTRY_VERSION}",
            where=str(file),
            remedy="create a new registry from the champion's fine-tune: metier iterate start NEW --from RUN",
        )
    return DataError(f"the file is damaged: {first['msg']}", where=str(file), remedy="restore it from a backup")
