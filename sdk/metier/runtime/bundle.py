"""Opens a bundle folder and verifies all of it before anything is used."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from metier.contracts import BundleError, Manifest, MetierError, TaskContract, UsageError
from metier.contracts.bundle import MANIFEST
from metier.contracts.documents import read_document
from metier.contracts.finetune import PEFT_CONFIG, WEIGHTS
from metier.contracts.heads import HEAD_FILE, TRUNK_FILE, HeadEntry, TrunkEntry, pooling_of
from metier.decoding.tokenizer import ChatTokenizer
from metier.prompting.prompt import prompt_ids
from metier.runtime.head_inputs import head_input
from metier.runtime.head_tokens import RowTokenizer

REFUSED = frozenset({".bin", ".ckpt", ".dll", ".dylib", ".pickle", ".pkl", ".pt", ".pth", ".py", ".so"})
"""Suffixes of files that can run code when they are loaded; a bundle must not contain them."""

_AGAIN = "export or fetch the bundle again"


@dataclass(frozen=True)
class Bundle:
    """A verified bundle."""

    path: Path
    manifest: Manifest
    chat: ChatTokenizer | None
    """Tokenizer of the graph that generates text; None for a bundle of heads only."""
    rows: Mapping[str, RowTokenizer] = field(default_factory=dict)
    """Head → its tokenizer."""

    @property
    def tokenizer(self) -> ChatTokenizer:
        """Tokenizer of the graph that generates text.

        Raises:
            UsageError: the bundle contains heads only.
        """
        if self.chat is None:
            raise UsageError(
                "the bundle contains heads only; it cannot generate text",
                where=str(self.path),
                remedy="request the tasks that its heads answer",
            )
        return self.chat

    def task(self, name: str) -> TaskContract:
        """The task of that full name.

        Raises:
            UsageError: the bundle has no such task.
        """
        for task in self.manifest.every_task:
            if task.name == name:
                return task
        named = ", ".join(task.name for task in self.manifest.every_task)
        raise UsageError(
            f"this bundle has no task {name}", where=str(self.path), remedy=f"use one of its tasks: {named}"
        )


def open_bundle(folder: str | Path) -> Bundle:
    """The bundle in `folder`, after checking manifest, paths, every checksum, and the frozen prompts.

    Raises:
        BundleError: something is missing, damaged, of another schema, out of place, or tokenises differently.
    """
    path = Path(folder)
    manifest = read_manifest(path)
    verify_files(path, manifest)
    try:
        chat = ChatTokenizer.load(path) if manifest.graph is not None else None
    except MetierError as error:
        raise BundleError(error.what, where=error.where, remedy=_AGAIN) from error
    bundle = Bundle(path, manifest, chat, rows_of(path, manifest))
    verify_golden(bundle)
    return bundle


def read_manifest(path: Path) -> Manifest:
    """`bundle.json` of a folder, validated but with no file checked.

    Raises:
        BundleError: it is missing, not JSON, of another schema version, or not valid.
    """
    file = path / MANIFEST
    if not file.is_file():
        raise BundleError(
            f"there is no readable {MANIFEST}", where=str(path), remedy="give the folder that `metier export` wrote"
        )
    return read_document(Manifest, file, remedy=_AGAIN, error=BundleError, name="the bundle")


def verify_files(path: Path, manifest: Manifest) -> None:
    """Check that the folder holds exactly the manifest's files, unchanged.

    Raises:
        BundleError: naming the first file that is missing, changed, unlisted, refused, or outside the folder.
    """
    root = path.resolve()
    for name, entry in manifest.files.items():
        file = _inside(root, name)
        if not file.is_file():
            raise BundleError("the file is missing", where=str(path / name), remedy=_AGAIN)
        if file.stat().st_size != entry.size:
            size = file.stat().st_size
            raise BundleError(f"the file has {size} bytes, not {entry.size}", where=str(path / name), remedy=_AGAIN)
        if sha256_of(file) != entry.sha256:
            raise BundleError("the file's checksum does not match the manifest", where=str(path / name), remedy=_AGAIN)
    graph = manifest.graph
    if graph is not None:
        _listed(path, manifest, *filter(None, (graph.file, graph.candidates)))
    for trunk in manifest.trunks:
        _listed(path, manifest, f"{trunk.path}/{TRUNK_FILE}", f"{trunk.path}/tokenizer.json")
    for head in manifest.heads:
        _listed(path, manifest, f"{head.path}/{HEAD_FILE}")
    for adapter in manifest.adapters:
        _listed(path, manifest, *(f"{adapter.path}/{name}" for name in (PEFT_CONFIG, WEIGHTS)))
    for file in root.rglob("*"):
        name = file.relative_to(root).as_posix()
        hidden = any(part.startswith(".") for part in PurePosixPath(name).parts)
        if (file.is_symlink() or not file.is_dir()) and name != MANIFEST and name not in manifest.files and not hidden:
            raise BundleError("the manifest does not list this file", where=str(path / name), remedy="remove it")


def rows_of(path: Path, manifest: Manifest) -> dict[str, RowTokenizer]:
    """The tokenizer of each head of a bundle.

    Raises:
        BundleError: a tokenizer cannot be read.
    """
    trunks = {trunk.name: trunk for trunk in manifest.trunks}
    return {head.name: row_tokenizer(path, head, trunks[head.trunk]) for head in manifest.heads}


def row_tokenizer(path: Path, head: HeadEntry, trunk: TrunkEntry) -> RowTokenizer:
    """The tokenizer of a head on a trunk of the bundle at `path`.

    Raises:
        BundleError: the tokenizer cannot be read.
    """
    recipe = head.card.recipe
    longest = min(recipe.max_length, trunk.base.context_length)
    try:
        return RowTokenizer(path / trunk.path, longest, pooling_of(recipe, trunk.base))
    except Exception as error:  # the tokenizers library raises its own
        where = str(path / trunk.path / "tokenizer.json")
        raise BundleError(f"the tokenizer cannot be read: {error}", where=where, remedy=_AGAIN) from error


def verify_golden(bundle: Bundle) -> None:
    """Check that each packaged prompt, and each input of a head, tokenises to exactly the ids frozen at export.

    Raises:
        BundleError: one does not.
    """
    for head in bundle.manifest.heads:
        for number, frozen in enumerate(head.golden):
            given = head_input(head.card.tasks[0], frozen.input, frozen.language)
            if tuple(row.ids for row in bundle.rows[head.name].rows(given)) != frozen.token_ids:
                raise BundleError(
                    f"packaged input {number} of the head {head.name} tokenises differently",
                    where=str(bundle.path),
                    remedy="the tokenizer or the `tokenizers` library changed: export again",
                )
    for number, golden in enumerate(bundle.manifest.golden):
        ids = prompt_ids(bundle.tokenizer, bundle.task(golden.task), golden.input, language=golden.language)
        if tuple(ids) != golden.token_ids:
            at = next((i for i, (a, b) in enumerate(zip(ids, golden.token_ids, strict=False)) if a != b), "the end")
            raise BundleError(
                f"packaged prompt {number} of {golden.task} tokenises differently from position {at} on",
                where=str(bundle.path),
                remedy="the tokenizer, the chat template or the `tokenizers` library changed: export again",
            )


def sha256_of(file: Path) -> str:
    """sha256 of a file's bytes, hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _listed(path: Path, manifest: Manifest, *names: str) -> None:
    for name in names:
        if name not in manifest.files:
            raise BundleError(f"the manifest does not list {name}", where=str(path), remedy=_AGAIN)


def _inside(root: Path, name: str) -> Path:
    """The file called `name` under `root`, links followed."""
    pure = PurePosixPath(name)
    file = (root / name).resolve()
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or not file.is_relative_to(root):
        raise BundleError(f"the manifest names {name!r}, outside the bundle", where=str(root), remedy="do not use it")
    if pure.suffix.lower() in REFUSED:
        raise BundleError(
            f"the bundle contains {name!r}, which could run code", where=str(root), remedy="do not use it"
        )
    return file
