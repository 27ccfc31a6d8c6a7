"""A bundle's heads by name: those it was exported with, and those that were loaded since."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metier.contracts import UsageError
from metier.contracts.heads import HEAD_FILE, TRUNK_FILE, HeadEntry
from metier.decoding.adapter_store import check_name
from metier.decoding.device import open_session
from metier.runtime.bundle import Bundle, row_tokenizer
from metier.runtime.head import Head
from metier.runtime.head_inputs import Shape
from metier.runtime.head_tokens import RowTokenizer
from metier.runtime.head_trunk import HiddenStates, Trunk


class HeadSet:
    """Every head of a bundle. Safe to use from any thread."""

    def __init__(self, bundle: Bundle, device: str = "auto", threads: int | None = None) -> None:
        """
        Raises:
            BundleError, DeviceError: as `open_session`; or a graph is not what the manifest describes.
        """
        manifest, path = bundle.manifest, bundle.path
        self._bundle = bundle
        self._trunks: dict[str, Trunk] = {}
        self.device, self.reason = "cpu", "the bundle has no heads"
        for entry in manifest.trunks:
            file = path / entry.path / TRUNK_FILE
            opened = open_session(file, device, prefer_cuda=manifest.target == "cuda", threads=threads)
            self.device, self.reason = opened.device, opened.reason
            self._trunks[entry.name] = Trunk(opened, entry, str(file))
        self._exported = {
            head.name: self._open(head, bundle.rows[head.name], path / head.path / HEAD_FILE) for head in manifest.heads
        }
        self._loaded: dict[str, Head] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._loaded or name in self._exported

    def __getitem__(self, name: str) -> Head:
        return self._loaded.get(name) or self._exported[name]

    def load(self, entry: HeadEntry, file: Path) -> None:
        """Make a head usable under its entry's name at once; it hides one of the bundle's of the same name. Answers
        under way keep the head that they started with.

        Args:
            entry: of a task of the bundle, on a trunk of the bundle; its path is ignored.
            file: the graph.

        Raises:
            UsageError: the name is not valid, or the bundle has no such task or trunk.
            BundleError: the graph is not what the entry describes.
        """
        check_name(entry.name)
        self._bundle.task(entry.card.tasks[0].name)
        trunk = next((trunk for trunk in self._bundle.manifest.trunks if trunk.name == entry.trunk), None)
        if trunk is None:
            raise UsageError(
                f"the bundle has no trunk {entry.trunk} for the head {entry.name}",
                where=str(self._bundle.path),
                remedy="export a bundle with a head on that base",
            )
        self._loaded[entry.name] = self._open(entry, row_tokenizer(self._bundle.path, entry, trunk), file)

    def unload(self, name: str) -> None:
        """Remove a head that was loaded; one of the bundle's of the same name is visible again."""
        self._loaded.pop(name, None)

    def clear_cache(self) -> None:
        """Drop the hidden states of recent texts, so that the next text is computed again."""
        for trunk in self._trunks.values():
            trunk.clear_cache()

    def names(self) -> list[str]:
        """Every head's name, those that were loaded included."""
        return sorted({*self._exported, *self._loaded})

    def embed(self, texts: Sequence[str], name: str | None = None) -> HiddenStates:
        """Texts as vectors of the head of that name; None takes the only head, or the only one that ranks.

        Raises:
            UsageError: there is no such head, or one must be named. RequestError: a text is too long.
        """
        if name is None:
            ranking = [each for each, head in self._exported.items() if head.shape is Shape.SIDES]
            name = next(iter(found)) if len(found := ranking or list(self._exported)) == 1 else None
        if name is None or name not in self:
            known = sorted({*self._exported, *self._loaded})
            raise UsageError(
                f"there is no head {name}" if name else "the bundle has several heads or none; name one",
                remedy=f"heads: {', '.join(known) or 'none; export a fine-tune that produces a head'}",
            )
        return self[name].embed(texts)

    def _open(self, entry: HeadEntry, rows: RowTokenizer, file: Path) -> Head:
        opened = open_session(file, "cpu", threads=1)  # a thousandth of its trunk's work
        return Head(entry, self._trunks[entry.trunk], rows, opened, str(file))
