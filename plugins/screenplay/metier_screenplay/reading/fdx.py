"""Final Draft FDX: parsed as a stream, each paragraph at its own line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
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
_PLANNING = frozenset({"SceneProperties", "SceneArcBeats", "CharacterArcBeat", "StructureCard", "Beat"})
"""Elements within which paragraphs are the writer's planning."""
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


@dataclass
class _Paragraph:
    """A paragraph that is open."""

    kind: Kind
    number: str | None
    line: int
    role: Literal["script", "synopsis", "unseen"]
    parts: list[str] = field(default_factory=list)


class _Script(Collecting[Element]):
    """Collects paragraphs."""

    def __init__(self) -> None:
        super().__init__()
        self._path: list[str] = []
        self._open: list[_Paragraph] = []  # paragraphs lie within others: a heading's summary, two dialogues
        self._size = 0
        self._synopses: list[Element] = []
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
            kind = KINDS.get((attrs.get("Type") or "").strip().casefold(), "action")
            self._open.append(_Paragraph(kind, attrs.get("Number"), self.line, self._role()))
            self._size = 0
        elif name == "Text" and self._open:
            self._run, self._style = [], attrs.get("Style") or ""

    def characters(self, content: str) -> None:
        if self._run is not None and self._size < _LONGEST:
            self._run.append(content)
            self._size += len(content)

    def endElement(self, name: str) -> None:  # noqa: N802
        self._path.pop()
        if name == "Text" and self._run is not None:
            self._open[-1].parts.append(_styled("".join(self._run), self._style))
            self._run = None
        elif name == "Paragraph" and self._path[:2] == ["FinalDraft", "Content"] and "ScriptNote" not in self._path:
            self._finish()
        elif name == "DualDialogue":
            self._cues = 0

    def _role(self) -> Literal["script", "synopsis", "unseen"]:
        """What a paragraph that begins here is: a part of the script, a scene's summary, or the writer's planning."""
        if "Summary" in self._path:
            return "synopsis"
        return "unseen" if _PLANNING & set(self._path) else "script"

    def _finish(self) -> None:
        paragraph = self._open.pop()
        text = "".join(paragraph.parts).strip("\n")
        if paragraph.role == "synopsis" and text.strip():
            self._synopses.append(Element("synopsis", " ".join(text.split()), paragraph.line, 1))
        if paragraph.role == "script" and text.strip():
            self._add(paragraph, text)
        if not self._open:  # a summary is written within its heading, and stands behind it
            self.done += self._synopses
            self._synopses = []

    def _add(self, paragraph: _Paragraph, text: str) -> None:
        kind, dual = paragraph.kind, False
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
        self.done.append(Element(kind, text, paragraph.line, 0 if joined else 1, number=paragraph.number, dual=dual))


def _styled(text: str, style: str) -> str:
    """A run with Fountain's marks for its style; what would be read as a mark is escaped."""
    text = text.replace("*", r"\*").replace("_", r"\_") if ("*" in text or "_" in text) else text
    core = text.strip()
    marks = [mark for name, mark in _STYLES if name in style.split("+")]
    if not core or not marks or "\n" in core:
        return text
    at = text.index(core)
    return text[:at] + "".join(marks) + core + "".join(reversed(marks)) + text[at + len(core) :]
