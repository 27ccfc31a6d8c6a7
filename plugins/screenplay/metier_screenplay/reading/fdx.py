"""Final Draft FDX: parsed as a stream, each paragraph at its own line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax import SAXException

from metier.contracts import BadRow, DataError, Sample
from metier.readers.xml import Collecting, stream
from metier_screenplay.reading.files import start_of
from metier_screenplay.reading.samples_from import samples_of
from metier_screenplay.script.element import SPOKEN, Element, Kind
from metier_screenplay.tasks import SCENE

_LONGEST = 200_000
"""Characters of one paragraph that are kept."""
_DEEPEST = 64
"""Levels of nesting: Final Draft writes fewer than ten."""
KINDS: dict[str, Kind] = {
    "scene heading": "heading", "action": "action", "character": "character", "parenthetical": "parenthetical",
    "dialogue": "dialogue", "transition": "transition", "shot": "action", "general": "action", "lyrics": "lyrics",
    "singing": "lyrics", "cast list": "action", "new act": "centered", "end of act": "centered",
}  # fmt: skip
"""Final Draft's own paragraph types; any other is a template's, and is action."""
_STYLES = (("Underline", "_"), ("Italic", "*"), ("Bold", "**"))


@dataclass(frozen=True)
class FinalDraft:
    """One sample a scene of an FDX file."""

    name: str = "final_draft"
    task: str = SCENE
    example: Path = Path(__file__).parent.parent / "examples" / "allotment.fdx"

    def accepts(self, path: Path) -> bool:
        """Whether its first tag is Final Draft's. Never raises."""
        return "<FinalDraft" in start_of(path)

    def read(self, path: Path) -> Iterator[Sample | BadRow]:
        """Scenes in the file's order.

        Raises:
            DataError: the file is not well-formed XML (with the line), declares a DTD, or is not Final Draft's.
        """
        yield from samples_of(elements(path), str(path))


def elements(path: Path) -> Iterator[Element]:
    """The screenplay's elements, each at the line of its paragraph.

    Raises:
        DataError: as `FinalDraft.read`.
    """
    script = _Script()
    yield from stream(path, script, remedy="save the screenplay again in Final Draft")
    if not script.known:
        raise DataError(
            "there is no Final Draft screenplay in it", where=f"{path}:1", remedy="give a file saved as .fdx"
        )


class _Script(Collecting[Element]):
    """Collects paragraphs."""

    def __init__(self) -> None:
        super().__init__()
        self._path: list[str] = []
        self._kind: Kind = "action"
        self._number: str | None = None
        self._at, self._size = 1, 0
        self._parts: list[str] = []
        self._run: list[str] | None = None
        self._style = ""
        self._cues = 0
        self._talking = False
        self.known = False

    def startElement(self, name: str, attrs: Any) -> None:  # noqa: N802 (SAX's name)
        self._path.append(name)
        if len(self._path) > _DEEPEST:
            raise SAXException(f"tags are nested {_DEEPEST} deep")
        self.known = self.known or self._path == ["FinalDraft", "Content"]
        # Headers, title pages and the writer's notes have paragraphs as well, elsewhere in the tree.
        if self._path[:2] != ["FinalDraft", "Content"] or "ScriptNote" in self._path:
            return
        if name == "DualDialogue":
            self._cues = 1
        elif name == "Paragraph":
            self._kind = KINDS.get((attrs.get("Type") or "").strip().casefold(), "action")
            self._number = attrs.get("Number")
            self._at, self._parts, self._size = self.line, [], 0
        elif name == "Text":
            self._run, self._style = [], attrs.get("Style") or ""

    def characters(self, content: str) -> None:
        if self._run is not None and self._size < _LONGEST:
            self._run.append(content)
            self._size += len(content)

    def endElement(self, name: str) -> None:  # noqa: N802
        self._path.pop()
        if name == "Text" and self._run is not None:
            self._parts.append(_styled("".join(self._run), self._style))
            self._run = None
        elif name == "Paragraph" and self._path[:2] == ["FinalDraft", "Content"] and "ScriptNote" not in self._path:
            self._finish()
        elif name == "DualDialogue":
            self._cues = 0

    def _finish(self) -> None:
        text = "".join(self._parts).strip("\n")
        self._parts = []
        if not text.strip():
            return
        kind, dual = self._kind, False
        if kind == "character":
            dual = self._cues == 2
            self._cues += bool(self._cues)
        if kind != "action":
            text = text.strip()
        if kind not in {"action", "dialogue", "lyrics", "centered"}:
            text = " ".join(text.split())
        if kind in {"parenthetical"} and not text.startswith("("):
            text = f"({text})"
        joined = self._talking and kind in SPOKEN
        self._talking = kind == "character" or joined
        self.done.append(Element(kind, text, self._at, 0 if joined else 1, number=self._number, dual=dual))


def _styled(text: str, style: str) -> str:
    """A run with Fountain's marks for its style; what would be read as a mark is escaped."""
    text = text.replace("*", r"\*").replace("_", r"\_") if ("*" in text or "_" in text) else text
    core = text.strip()
    marks = [mark for name, mark in _STYLES if name in style.split("+")]
    if not core or not marks or "\n" in core:
        return text
    at = text.index(core)
    return text[:at] + "".join(marks) + core + "".join(reversed(marks)) + text[at + len(core) :]
