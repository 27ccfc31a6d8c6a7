"""`metier run` on a photo: the words on it reach the model where metier-ocr is installed, and it is named where not."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Runner = Callable[..., subprocess.CompletedProcess[str]]
pytest.importorskip("rapidocr", reason="metier-ocr is not installed")


def test_a_photo_is_answered_as_its_words_are(
    tiny_shop: Path, tmp_path: Path, metier: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image as Pillow
    from PIL import ImageDraw, ImageFont

    picture = Pillow.new("RGB", (700, 160), "white")
    ImageDraw.Draw(picture).text((40, 50), "HARROW stoneware", font=ImageFont.load_default(40), fill="black")
    picture.save(tmp_path / "label.png")
    words = {"photo": "label.png", "seen": "HARROW stoneware", "shown": "a mug"}
    inputs = tmp_path / "x.jsonl"
    inputs.write_text("".join(json.dumps(row) + "\n" for row in ({"photo": "label.png", "shown": "a mug"}, words)))

    done = metier("run", tiny_shop, "--task", "tiny.shop", "--input", inputs)
    assert done.returncode == 0, done.stderr
    read, typed = map(json.loads, done.stdout.splitlines())
    assert read == typed and "photo → ocr → seen" in done.stderr

    monkeypatch.setenv("METIER_PLUGINS_DENY", "ocr")
    refused = metier("run", tiny_shop, "--task", "tiny.shop", "--input", inputs)
    assert refused.returncode == 2 and "plugins/ocr" in refused.stderr
    assert "x.jsonl:1" in refused.stderr and not refused.stdout
