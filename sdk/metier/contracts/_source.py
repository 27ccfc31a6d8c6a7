"""A payload's bytes, read in small pieces from a file or from memory. It does not know file formats."""

from __future__ import annotations

import struct
from typing import Any, BinaryIO, NamedTuple


class DamagedError(ValueError):
    """The file is of a known kind, but cut off or damaged."""


class Traits(NamedTuple):
    """What a header declares."""

    media_type: str
    facts: dict[str, int | float | None]
    """Field name of the payload type → its value."""


class Source:
    """Random access to bytes, where reading past the end means that the file is cut off."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size = file, size

    def at(self, offset: int, count: int) -> bytes:
        """Exactly `count` bytes.

        Raises:
            DamagedError: the file ends before.
        """
        data = self.upto(offset, count)
        if len(data) < count:
            raise DamagedError(f"it is cut off: {self.size} bytes, but more should follow at byte {self.size}")
        return data

    def upto(self, offset: int, count: int) -> bytes:
        """At most `count` bytes; fewer at the end."""
        self.file.seek(offset)
        return self.file.read(count)

    def unpack(self, layout: str, offset: int) -> tuple[Any, ...]:
        """Numbers as `struct` lays them out.

        Raises:
            DamagedError: the file ends before.
        """
        return struct.unpack(layout, self.at(offset, struct.calcsize(layout)))

    def holds(self, end: int, what: str) -> None:
        """Nothing, where the file reaches byte `end`.

        Raises:
            DamagedError: it does not.
        """
        if end > self.size:
            raise DamagedError(f"it is cut off: {what} should reach byte {end}, the file has {self.size}")
