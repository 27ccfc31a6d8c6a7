"""`metier ocr`: what the bridge reads off pictures, shown with place and confidence."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated

import typer

from metier.contracts import Image
from metier_ocr.lines import rows_of


def ocr(
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURE…", help="PNG, JPEG, GIF, WebP or BMP.")],
    json: Annotated[bool, typer.Option("--json", help="One object a line: text, confidence, box in pixels.")] = False,
) -> None:
    """Read text on pictures: a package, a label, a poster."""
    from metier_ocr.reader import read_lines

    for picture in pictures:
        for row in rows_of(read_lines(Image.of(picture))):
            for line in row:
                if json:
                    typer.echo(jsonlib.dumps({"picture": str(picture), **line.model_dump()}, ensure_ascii=False))
                else:
                    x, y = line.box[0]
                    typer.echo(f"{line.confidence:.2f}  {x:5.0f},{y:<5.0f} {line.text}")
