"""Lines of text on a picture, and the order in which a person reads them. It does not use an OCR library."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field


class Line(BaseModel):
    """One line of text on the picture."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    confidence: float = Field(ge=0, le=1)
    """The recogniser's mean over the characters."""
    box: tuple[tuple[float, float], ...] = Field(min_length=4, max_length=4)
    """Corners in pixels of the upright picture (EXIF rotation applied), clockwise from the text's upper left."""

    @property
    def top(self) -> float:
        return min(y for _, y in self.box)

    @property
    def bottom(self) -> float:
        return max(y for _, y in self.box)

    @property
    def left(self) -> float:
        return min(x for x, _ in self.box)


def rows_of(lines: Iterable[Line]) -> list[list[Line]]:
    """Lines that are side by side, row by row from the top, each from left to right.

    Two lines share a row where the middle of each lies within the height of the other: a big brand name keeps off the
    small print beside it.
    """
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: line.top + line.bottom):
        if rows and all(_beside(line, other) for other in rows[-1]):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [sorted(row, key=lambda line: line.left) for row in rows]


def text_of(lines: Iterable[Line]) -> str:
    """The lines as text in reading order: side by side joined by a space, rows by a newline."""
    return "\n".join(" ".join(line.text for line in row) for row in rows_of(lines))


def _beside(one: Line, other: Line) -> bool:
    a, b = (one.top + one.bottom) / 2, (other.top + other.bottom) / 2
    return other.top <= a <= other.bottom and one.top <= b <= one.bottom
