"""Text on drawn pictures is read, a trade's task continues with it, and nothing is fetched for that."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont
from pydantic import BaseModel, Field

import metier_ocr
from metier.contracts import (
    Base,
    ContractError,
    Image,
    Modality,
    TaskContract,
    UsageError,
    Verdict,
    modalities_of,
    prompt,
    read_from,
    readings,
)
from metier.contracts.fit import fit
from metier.plugins import Registry, load_plugins
from metier.runtime.input_bridges import run_input_bridges, skip_input_bridges
from metier_ocr import Line, read_lines, read_text, text_of

HAN_FONTS = (
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc",
    "/System/Library/Fonts/PingFang.ttc",
    "C:/Windows/Fonts/msyh.ttc",
)
SMOL = Base(
    id="smol",
    model_class="LlamaForCausalLM",
    languages=("en",),
    context_length=8192,
    licence="Apache-2.0",
    chat_template=True,
)


class Goods(BaseModel):
    photo: Image
    seen: str | None = Field(default=None, json_schema_extra=read_from("photo", content="words", package="metier-ocr"))


class Copy(BaseModel):
    text: str


LISTING = TaskContract(
    name="shop.listing", kind="generate", input=Goods, output=Copy, prompts={"en": prompt("Seen: {{ seen }}")}
)


def label(*rows: tuple[int, int, str], font: str | None = None, mode: str = "RGB") -> Pillow.Image:
    picture = Pillow.new(mode, (900, 360), (226, 220, 206) if mode == "RGB" else (0, 0, 0, 0))
    pen = ImageDraw.Draw(picture)
    face = ImageFont.truetype(font, 36) if font else ImageFont.load_default(36)
    for x, y, text in rows:
        pen.text((x, y), text, font=face, fill=(25, 25, 45))
    return picture


def saved(picture: Pillow.Image, format: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, format, **options)  # type: ignore[arg-type]
    return out.getvalue()


MUG = label((60, 50, "HARROW stoneware"), (60, 150, "350 ml"), (480, 150, "Made in Leeds"), (60, 250, "Hand wash only"))


def test_a_label_is_read_in_reading_order() -> None:
    assert read_text(Image.of(saved(MUG))) == "HARROW stoneware\n350 ml Made in Leeds\nHand wash only"


def test_every_line_has_its_place_and_confidence() -> None:
    lines = read_lines(Image.of(saved(MUG)))
    assert {line.text for line in lines} == {"HARROW stoneware", "350 ml", "Made in Leeds", "Hand wash only"}
    made_in = next(line for line in lines if line.text == "Made in Leeds")
    assert abs(made_in.left - 480) < 12 and 140 < made_in.top < made_in.bottom < 205
    assert all(0.8 < line.confidence <= 1 for line in lines)


def test_chinese_is_read() -> None:
    font = next((path for path in HAN_FONTS if Path(path).is_file()), None)
    if font is None:
        pytest.skip("no font with Han characters is installed")
    read = read_text(Image.of(saved(label((60, 50, "产地：浙江杭州"), (60, 150, "明前龙井 250克"), font=font))))
    assert read.replace(" ", "").replace(":", "：") == "产地：浙江杭州\n明前龙井250克"


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "BMP", "GIF"])
def test_every_kind_of_picture_that_metier_takes_is_read(format: str) -> None:
    assert "HARROW stoneware" in read_text(Image.of(saved(MUG, format)))


def test_a_picture_that_only_exif_turns_upright_is_read() -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    sideways = saved(MUG.transpose(Pillow.Transpose.ROTATE_90), "JPEG", exif=exif, quality=95)
    assert read_text(Image.of(sideways)).startswith("HARROW stoneware")


def test_dark_words_on_a_transparent_ground_are_read() -> None:
    assert read_text(Image.of(saved(label((60, 50, "HARROW stoneware"), mode="RGBA")))) == "HARROW stoneware"


def test_a_picture_without_words_gives_no_text() -> None:
    assert read_text(Image.of(saved(Pillow.new("RGB", (300, 200), "grey")))) == ""
    assert read_text(Image.of(saved(Pillow.new("RGB", (1, 1), "grey")))) == ""


def test_a_truncated_picture_is_an_error_that_names_it(tmp_path: Path) -> None:
    content = saved(MUG)
    path = tmp_path / "cut.png"
    path.write_bytes(content)
    image = Image.of(path)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ContractError, match=r"cut\.png.*damaged"):
        read_lines(image)


def test_a_picture_too_large_to_decode_is_refused_by_its_header() -> None:
    huge = Image.of(saved(Pillow.new("1", (9000, 9000))))
    with pytest.raises(ContractError, match="9000 × 9000"):
        read_lines(huge)


def line(text: str, x: float, y: float, height: float = 20) -> Line:
    return Line(text=text, confidence=1, box=((x, y), (x + 50, y), (x + 50, y + height), (x, y + height)))


def test_a_big_name_keeps_off_the_small_print_beside_it() -> None:
    lines = [line("NET 350 ML", 200, 60, 12), line("HARROW", 0, 0, 80), line("oat", 300, 8), line("mug", 200, 6, 14)]
    assert text_of(lines) == "mug oat\nHARROW\nNET 350 ML"


def test_the_registry_takes_the_plugin() -> None:
    registry = Registry()
    row = registry.add(metier_ocr)
    assert row.bridges == ("ocr",) and row.commands == ("ocr",)


def test_fit_shows_the_chain_and_without_the_bridge_what_to_install() -> None:
    without = fit(LISTING, SMOL)
    assert without.verdict is Verdict.FAIL
    assert "plugins/ocr" in str([f.remedy for f in without.findings])
    with_it = fit(LISTING, SMOL, metier_ocr.metier_bridges(), token_lengths=[80])
    assert with_it.verdict is Verdict.OK
    assert with_it.bridges_in == {Modality.IMAGE: ("ocr",)}
    assert any("image goes through ocr (image→text)" in finding.reason for finding in with_it.findings)


def test_a_task_reads_its_photo_where_the_input_does_not_give_its_text(tmp_path: Path) -> None:
    photo = tmp_path / "mug.png"
    photo.write_bytes(saved(MUG))
    bridges = metier_ocr.metier_bridges()
    read = run_input_bridges(LISTING, {"photo": str(photo)}, bridges)
    assert read["seen"] == "HARROW stoneware\n350 ml Made in Leeds\nHand wash only"
    value = {"photo": str(photo), "seen": None}
    assert run_input_bridges(LISTING, value, bridges) is value
    with pytest.raises(UsageError, match="plugins/ocr"):
        run_input_bridges(LISTING, {"photo": str(photo)}, [])
    assert skip_input_bridges(LISTING, {"photo": "gone.png"}) == {"photo": "gone.png", "seen": None}
    with pytest.raises(ContractError, match=r"gone\.png"):
        run_input_bridges(LISTING, {"photo": "gone.png"}, bridges)


def test_the_photo_of_the_shops_listing_task_is_read() -> None:
    tasks = {task.name: task for v in load_plugins().verticals.values() for task in v.tasks}
    if "support.listing" not in tasks:
        pytest.skip("metier-support is not installed")
    contract = tasks["support.listing"]
    assert [(r.field, r.source, r.package) for r in readings(contract.input)] == [("seen", "photo", "metier-ocr")]
    goods = {"photo": Image.of(saved(MUG)).data_uri(), "attributes": {"name": "mug"}}
    assert modalities_of(contract.input) == {Modality.IMAGE, Modality.TEXT}
    assert "350 ml" in run_input_bridges(contract, goods, metier_ocr.metier_bridges())["seen"]


def test_nothing_is_fetched_and_the_models_load_only_when_a_picture_is_read(tmp_path: Path) -> None:
    photo = tmp_path / "mug.png"
    photo.write_bytes(saved(MUG))
    code = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise SystemExit('a connection was opened')\n"
        "socket.socket.connect = refuse\n"
        "from metier.contracts import Image\n"
        "import metier_ocr\n"
        "metier_ocr.metier_bridges()\n"
        "assert not {'cv2', 'rapidocr', 'torch'} & set(sys.modules)\n"
        f"print(metier_ocr.read_text(Image.of({str(photo)!r})))\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("HARROW stoneware") and done.stderr == ""


def test_the_command_shows_place_and_confidence(tmp_path: Path) -> None:
    photo = tmp_path / "mug.png"
    photo.write_bytes(saved(MUG))
    command = [sys.executable, "-m", "metier.cli", "ocr", str(photo), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(row) for row in done.stdout.splitlines()]
    assert rows[0]["text"] == "HARROW stoneware" and len(rows[0]["box"]) == 4
