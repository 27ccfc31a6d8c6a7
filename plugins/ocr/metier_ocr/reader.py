"""Reads pictures with RapidOCR (PP-OCRv6, arXiv 2009.09941 and its successors) on the onnxruntime that is installed.

The models travel in rapidocr's own wheel and are named by path, so that nothing is ever fetched.
"""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from metier.contracts import ContractError, Image, PluginError
from metier_ocr.lines import Line

LARGEST = 50_000_000
"""Pixels. Cameras end at about that; decoding more takes over 150 MB, to be shrunk to 2,000 pixels a side anyway."""

_ONE_AT_A_TIME = Lock()


def read_lines(image: Image) -> tuple[Line, ...]:
    """Text on a picture, from the top; empty where there is none.

    Args:
        image: upright or with EXIF rotation; of an animation, the first frame.

    Raises:
        ContractError: the picture is too large, or its content is damaged.
        PluginError: rapidocr has lost its models.
    """
    pixels = _pixels(image)
    with _ONE_AT_A_TIME:  # RapidOCR keeps settings of the call in itself; one call uses every core anyway
        found = _reader()(pixels)
    if found.txts is None or found.boxes is None:
        return ()
    return tuple(
        Line(text=text, confidence=min(1.0, float(score)), box=tuple((float(x), float(y)) for x, y in box))
        for text, score, box in zip(found.txts, found.scores, found.boxes, strict=True)
    )


def _pixels(image: Image) -> Any:
    """The picture as [height, width, 3] uint8, blue first, on white where it is transparent."""
    import numpy as np
    from PIL import Image as Pillow
    from PIL import ImageOps, UnidentifiedImageError

    place = None if image.source.startswith("data:") else image.source
    if image.width * image.height > LARGEST:
        raise ContractError(
            f"the picture has {image.width} × {image.height} pixels, more than {LARGEST:,}",
            where=place,
            remedy="make it smaller: 2,000 pixels a side are all that is looked at",
        )
    try:
        with Pillow.open(io.BytesIO(image.read())) as opened:
            upright = ImageOps.exif_transpose(opened).convert("RGBA")
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Pillow.DecompressionBombError) as error:
        raise ContractError(f"the picture is damaged: {error}", where=place, remedy="give a complete file") from error
    paper = Pillow.new("RGBA", upright.size, "white")
    return np.asarray(Pillow.alpha_composite(paper, upright).convert("RGB"))[:, :, ::-1]


@cache
def _reader() -> Any:
    import rapidocr

    folder = Path(rapidocr.__file__).parent / "models"
    params: dict[str, Any] = {"Global.log_level": "critical"}
    for part in ("Det", "Cls", "Rec"):
        models = sorted(folder.glob(f"*_{part.lower()}_*.onnx"))
        if not models:
            raise PluginError(
                f"rapidocr has no {part} model",
                where=str(folder),
                remedy="pip install --force-reinstall --no-deps rapidocr",
            )
        params[f"{part}.model_path"] = str(models[0])
    return rapidocr.RapidOCR(params=params)
