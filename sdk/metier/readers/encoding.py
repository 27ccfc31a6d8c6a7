"""Which encoding a text file is in: UTF-8, UTF-16 or GB18030 by its bytes; any other encoding is an error."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from metier.contracts.errors import DataError
from metier.readers.row import no_table

HEAD = 16 << 20
"""Bytes looked at. A stray byte further down is a bad row at its line, not another encoding."""

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def open_bytes(path: Path) -> IO[bytes]:
    """The file's bytes, gzip undone where the file starts as gzip does."""
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    return cast("IO[bytes]", gzip.open(path)) if packed else path.open("rb")


def detect_encoding(path: Path) -> str:
    """Python's name of the file's encoding: utf-8, utf-8-sig, utf-16, utf-16-le, utf-16-be or gb18030.

    Raises:
        DataError: it is none of these; the message names the likeliest one and the line.
    """
    with open_bytes(path) as file:
        try:
            head = file.read(HEAD)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise no_table(path, f"the gzip file is damaged: {error}", remedy="compress or copy it again") from error
    for bom, name in _BOMS:
        if head.startswith(bom):
            return name
    if wide := _utf16_without_bom(head):
        return wide
    at_end = len(head) < HEAD
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, at_end)
        return "utf-8"
    except UnicodeDecodeError as error:
        place = error.start
    text = head.decode("utf-8", "surrogateescape")
    if _multibyte(text) > 4 * len(_STRAY.findall(text)):
        return "utf-8"  # other encodings form valid UTF-8 by chance only: the few stray bytes are bad rows
    guess = _guess(head[max(0, place - 2048) : place + 65536])
    if guess in {"gb18030", "gbk", "gb2312", "hz"} and _decodes(head, "gb18030", at_end):
        return "gb18030"
    raise no_table(
        path,
        f"byte 0x{head[place]:02x} is not UTF-8, and the file is not GB18030 either"
        + (f"; it looks like {guess}" if guess else ""),
        line=head.count(b"\n", 0, place) + 1,
        remedy="save the file as UTF-8",
    )


_STRAY = re.compile("[\udc80-\udcff]+")
_WIDE = re.compile("[^\x00-\x7f\udc80-\udcff]")


def _multibyte(text: str) -> int:
    return len(_WIDE.findall(text))


def _utf16_without_bom(head: bytes) -> str | None:
    sample = head[:4096]
    half = len(sample) // 2
    if half < 4:
        return None
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if odd > 0.4 * half and even < 0.05 * half:
        return "utf-16-le"
    return "utf-16-be" if even > 0.4 * half and odd < 0.05 * half else None


def _decodes(data: bytes, encoding: str, final: bool) -> bool:
    try:
        codecs.getincrementaldecoder(encoding)().decode(data, final)
    except UnicodeDecodeError:
        return False
    return True


_HAN = re.compile("[\u4e00-\u9fff\u3000-\u303f\uff00-\uffef]")


def _guess(sample: bytes) -> str | None:
    """The likeliest encoding of a sample that is not UTF-8."""
    # Short Chinese text is beyond any statistics: pairs of high bytes that all decode to everyday Han settle it.
    try:
        text = sample.decode("gb2312", "surrogateescape")
    except ValueError:
        text = ""
    wide = _multibyte(text)
    if wide >= 2 and not _STRAY.search(text[:-2]) and len(_HAN.findall(text)) > 0.9 * wide:
        return "gb18030"
    from charset_normalizer import from_bytes

    best = from_bytes(sample).best()
    return best.encoding if best else None


class TextLines:
    """Physical lines of a text file, with their ends, and what is wrong with each. Holds one line at a time.

    `problem` after a line says why it cannot be used, or None; `number` is its 1-based number.
    """

    def __init__(self, path: Path, encoding: str | None = None) -> None:
        self.path = path
        self.encoding = encoding or detect_encoding(path)
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        import io

        try:
            with (
                open_bytes(self.path) as raw,
                io.TextIOWrapper(raw, self.encoding, "surrogateescape", newline="") as text,
            ):
                for line in text:
                    self.number += 1
                    yield line
        except LookupError as error:
            raise no_table(self.path, f"there is no encoding {self.encoding}", remedy="try utf-8 or gb18030") from error
        except UnicodeDecodeError as error:
            raise self._broken(f"the text is not {self.encoding}: {error.reason}") from error
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise self._broken(f"the gzip file is damaged: {error}") from error

    def _broken(self, what: str) -> DataError:
        return no_table(self.path, what, line=self.number + 1, remedy="copy or save the file again")


def line_problem(line: str, encoding: str) -> str | None:
    """Why a line cannot be used: a byte that is not of the encoding, or NUL."""
    if not line.isascii() and (stray := _STRAY.search(line)):
        return f"byte 0x{ord(stray[0][0]) - 0xDC00:02x} is not valid {encoding.removesuffix('-sig')}"
    return "there is a NUL byte" if "\0" in line else None
