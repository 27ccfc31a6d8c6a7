"""A bridge from pictures to the words on them: the plugin that brings the bridge `ocr` and the command `metier ocr`."""

from __future__ import annotations

from typing import Any

from metier.contracts import Bridge, Image, Modality
from metier.plugins import Command, hookimpl
from metier_ocr.lines import Line, text_of

__version__ = "0.1.0"
__all__ = ["Line", "read_lines", "read_text", "text_of"]


def read_lines(image: Image) -> tuple[Line, ...]:
    """Text on a picture, line by line with place and confidence; see `metier_ocr.reader`."""
    from metier_ocr.reader import read_lines as read  # OpenCV and the models load when a picture is read

    return read(image)


def read_text(image: Image) -> str:
    """Text on a picture, in reading order, one row a line; empty where there is none."""
    return text_of(read_lines(image))


@hookimpl
def metier_bridges() -> list[Bridge]:
    """IMAGE → TEXT."""
    return [
        Bridge(
            name="ocr",
            source=Modality.IMAGE,
            target=Modality.TEXT,
            content="words",
            languages=("en", "zh"),
            licence="Apache-2.0",
            package="metier-ocr",
            run=read_text,
        )
    ]


@hookimpl
def metier_commands() -> list[Command]:
    """`metier ocr`."""

    def load() -> Any:
        from metier_ocr.command import ocr

        return ocr

    return [Command(name="ocr", load=load, help="Read the text in pictures, with its place and confidence.")]
