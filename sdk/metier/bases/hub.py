"""The Hugging Face hub as a source of bases, through huggingface_hub: its cache, its tokens, its offline mode.

Only safetensors and text files are taken, never pickles.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from metier.bases.card import card_of
from metier.bases.catalogue import CATALOGUE
from metier.bases.progress import Progress, silent
from metier.contracts.base import Base
from metier.contracts.errors import BaseError

FILES = (
    "config.json", "generation_config.json", "*.safetensors", "*.safetensors.index.json",
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt", "*.model", "chat_template.jinja", "README.md", "LICENSE*",
)  # fmt: skip
"""Top-level files that a decoder needs; folders such as onnx/ or original/ stay where they are."""


class HubUnreachableError(BaseError):
    """The hub cannot be reached; another source may still have the base."""


class HubSource:
    """Bases by hub id (`owner/name`), and the catalogue's names at their pinned commits."""

    name = "hub"

    def __init__(self, *, offline: bool = False, progress: Progress = silent) -> None:
        self._offline = offline
        self._progress = progress

    def cards(self) -> Sequence[Base]:
        """The catalogue's own; other models of the hub are selected by id."""
        return [
            entry.card.model_copy(update={"revision": entry.hub_revision}) for entry in CATALOGUE.values() if entry.hub
        ]

    def fetch(self, base: str, folder: Path, *, revision: str | None = None) -> Base | None:
        """See `metier.plugins.base_source.BaseSource`; uses the hub's own cache, and links files out of it.

        Raises:
            HubUnreachableError: the hub does not answer, or offline mode is on, and its cache does not have the base.
            BaseError: the hub has no such repository or revision, or refuses it, or it has no safetensors.
        """
        entry = CATALOGUE.get(base)
        if entry and (not entry.hub or (entry.wheel and revision == entry.wheel.version)):
            return None
        if not entry and base.count("/") != 1:
            return None
        repo = entry.hub if entry and entry.hub else base
        snapshot = self._snapshot(repo, revision or (entry.hub_revision if entry else None))
        if not any(snapshot.glob("*.safetensors")):
            raise BaseError(
                f"{repo} has no safetensors weights",
                where=str(snapshot),
                remedy="name a repository with model.safetensors; pickled weights are not loaded",
            )
        for path in snapshot.iterdir():
            if path.is_file():
                _link(path.resolve(), folder / path.name)
        card = card_of(folder, base, revision=snapshot.name)
        return _completed(card, entry.card) if entry else card

    def _snapshot(self, repo: str, revision: str | None) -> Path:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        where = f"{repo}@{revision}" if revision else repo
        commit: str | None = None  # None where the hub cannot be reached; its cache may still have the base
        if not self._offline:
            self._progress(f"looking up {repo} on the hub", 0, None)
            commit = _commit(repo, revision, where)
        if commit:
            self._progress(f"fetching {repo}", 0, None)
        try:
            return Path(
                snapshot_download(
                    repo, revision=commit or revision, allow_patterns=list(FILES), local_files_only=commit is None
                )
            )
        except LocalEntryNotFoundError as error:
            state = "offline mode is on" if self._offline else "the Hugging Face hub cannot be reached"
            raise HubUnreachableError(
                f"{state}, and its cache does not have this base",
                where=where,
                remedy="go online, or give a local folder",
            ) from error
        except (ConnectionError, TimeoutError) as error:
            raise HubUnreachableError(
                f"the download was interrupted: {_line(error)}",
                where=where,
                remedy="pull again; it resumes",
            ) from error


def _commit(repo: str, revision: str | None, where: str) -> str | None:
    """The commit of a revision; None where the hub does not answer. One request: `snapshot_download` would retry for
    half a minute while another source waits."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return HfApi().model_info(repo, revision=revision, timeout=10).sha
    except GatedRepoError as error:
        raise BaseError(
            "its licence must be accepted first",
            where=where,
            remedy=f"accept it on https://huggingface.co/{repo}, then set HF_TOKEN",
        ) from error
    except RevisionNotFoundError as error:
        raise BaseError(
            f"the hub has {repo} without a revision {revision}", where=where, remedy="give a commit or branch"
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise BaseError(
            "the hub has no such model, or it is private",
            where=where,
            remedy="check the id on huggingface.co; for a private model set HF_TOKEN",
        ) from error
    except Exception:  # whatever the HTTP library of this huggingface_hub raises: the hub does not answer
        return None


def _line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _completed(card: Base, known: Base) -> Base:
    """The fetched card; fields that its files leave out come from the catalogue."""
    update = {
        key: getattr(known, key) for key in ("languages", "licence", "knowledge_cutoff") if not getattr(card, key)
    }
    return card.model_copy(update=update)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)
