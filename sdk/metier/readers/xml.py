"""XML parsed as a stream: what a SAX handler has finished comes out while the file is still being read.

DTDs are refused (defusedxml), so that no entity can expand or reach out. It knows no trade's tags.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar
from xml.sax import SAXException, SAXParseException
from xml.sax.handler import ContentHandler, feature_namespaces

from defusedxml import DefusedXmlException
from defusedxml.expatreader import DefusedExpatParser

from metier.contracts import DataError

_CHUNK = 64 * 1024
"""Bytes fed at a time."""

T = TypeVar("T")


class Collecting(ContentHandler, Generic[T]):
    """A SAX handler that puts every thing it has finished into `done`, and holds the unfinished one only."""

    def __init__(self) -> None:
        super().__init__()
        self.done: deque[T] = deque()
        self.parser: Any = None
        """Set by `stream`; SAX itself sets no locator on an incremental parser."""

    @property
    def line(self) -> int:
        """The parser's line, from 1."""
        try:
            return int(self.parser.getLineNumber()) or 1
        except (AttributeError, TypeError):
            return 1


def stream(path: Path, handler: Collecting[T], *, remedy: str, namespaces: bool = False) -> Iterator[T]:
    """What the handler finishes, in the file's order.

    Args:
        path: of the file; its declaration or byte order mark gives the encoding.
        handler: collects; a `SAXException` that it raises ends the file.
        remedy: what a user does about XML that is not well-formed.
        namespaces: whether `startElementNS` is called instead of `startElement`.

    Raises:
        DataError: the file cannot be read, is not well-formed (with the line), or declares a DTD.
    """
    parser = handler.parser = DefusedExpatParser(forbid_dtd=True)
    parser.setFeature(feature_namespaces, namespaces)
    parser.setContentHandler(handler)
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                parser.feed(chunk)
                while handler.done:
                    yield handler.done.popleft()
            parser.close()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    except DefusedXmlException as error:
        raise DataError(
            "the file declares a document type, which could hide entities",
            where=f"{path}:{handler.line}",
            remedy="remove the <!DOCTYPE …> declaration",
        ) from error
    except SAXParseException as error:
        raise DataError(
            f"the XML is not well-formed: {error.getMessage()}",
            where=f"{path}:{error.getLineNumber() or 1}",
            remedy=remedy,
        ) from error
    # LookupError: an encoding that Python does not know. ValueError: NUL or a multi-byte encoding of expat's.
    except (SAXException, ValueError, LookupError) as error:
        raise DataError(f"the XML cannot be parsed: {error}", where=f"{path}:{handler.line}") from error
    while handler.done:
        yield handler.done.popleft()
