"""A field that is read off a photo is filled by whichever bridge does it, once for every way in; its own value wins."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow
from pydantic import BaseModel, Field

from metier.contracts import (
    Bridge,
    ContractError,
    Image,
    Modality,
    PluginError,
    TaskContract,
    UsageError,
    Video,
    prompt,
    read_from,
    readings,
)
from metier.runtime import Engine
from metier.runtime.input_bridges import run_input_bridges


class Goods(BaseModel):
    photo: Image
    seen: str | None = Field(default=None, json_schema_extra=read_from("photo", content="words", package="metier-ocr"))
    shown: str = Field(default="nothing", json_schema_extra=read_from("photo", content="description"))


class Copy(BaseModel):
    text: str


def contract(goods: type[BaseModel] = Goods, template: str = "{{ seen }}, {{ shown }}", **given: Any) -> TaskContract:
    return TaskContract(
        name="tiny.shop", kind="generate", input=goods, output=Copy, prompts={"en": prompt(template)}, **given
    )


def bridge(name: str, run: Any, content: str | None = None, source: str = "image", target: str = "text") -> Bridge:
    return Bridge(name=name, source=source, target=target, content=content, run=run)


SIZE = bridge("size", lambda image: f"{image.width} by {image.height}", "description")
NAME = bridge("name", lambda image: image.media_type, "words")


@pytest.fixture
def photo(tmp_path: Path) -> str:
    Pillow.new("RGB", (7, 5)).save(tmp_path / "photo.png")
    return str(tmp_path / "photo.png")


def test_each_field_takes_the_bridge_that_gives_its_content(photo: str) -> None:
    filled = run_input_bridges(contract(), {"photo": photo}, [SIZE, NAME])
    assert filled == {"photo": photo, "seen": "image/png", "shown": "7 by 5"}


def test_a_field_that_the_input_has_is_left_alone_and_no_bridge_runs(photo: str) -> None:
    given = {"photo": photo, "seen": None, "shown": ""}
    assert run_input_bridges(contract(), given, []) is given


def test_a_photo_may_come_as_a_path_a_data_uri_or_described(photo: str) -> None:
    image = Image.of(photo)
    for form in (photo, image.data_uri(), image.model_dump()):
        assert run_input_bridges(contract(), {"photo": form, "seen": ""}, [SIZE])["shown"] == "7 by 5"


def test_a_missing_bridge_for_the_content_names_what_to_install(photo: str) -> None:
    with pytest.raises(
        UsageError, match=r"reads seen from photo, and no bridge image→text \(words\) is installed"
    ) as caught:
        run_input_bridges(contract(), {"photo": photo}, [SIZE])
    assert "plugins/ocr" in str(caught.value.remedy)
    with pytest.raises(UsageError, match="no bridge"):  # a card alone reads nothing
        run_input_bridges(contract(), {"photo": photo}, [SIZE, NAME.model_copy(update={"run": None})])


def test_a_chain_leads_from_film_to_words(tmp_path: Path) -> None:
    class Reel(BaseModel):
        film: Video
        words: str = Field(default="", json_schema_extra=read_from("film", content="words"))

    film = Path(__file__).parent.parent / "contracts" / "media"
    reel = next(path for path in sorted(film.iterdir()) if path.suffix in {".mp4", ".webm", ".mov", ".mkv"})

    def still(video: Video) -> Image:
        out = io.BytesIO()
        Pillow.new("RGB", (video.width, video.height)).save(out, "PNG")
        return Image.of(out.getvalue())

    first = bridge("still", still, source="video", target="image")
    assert run_input_bridges(contract(Reel, "{{ words }}"), {"film": str(reel)}, [NAME, first])["words"] == "image/png"


def test_a_bridge_that_fails_or_gives_no_text_is_named(photo: str) -> None:
    broken = bridge("broken", lambda image: 1 / 0, "description")
    with pytest.raises(PluginError, match=r"photo\.png: the bridge broken failed: ZeroDivisionError"):
        run_input_bridges(contract(), {"photo": photo, "seen": ""}, [broken])
    with pytest.raises(PluginError, match="odd gave a value of type int, not text"):
        run_input_bridges(contract(), {"photo": photo, "seen": ""}, [bridge("odd", lambda image: 3, "description")])
    with pytest.raises(ContractError, match=r"none\.png"):
        run_input_bridges(contract(), {"photo": "none.png", "seen": ""}, [SIZE])


@pytest.mark.parametrize("source", ["foto", "title", "seen"])
def test_a_contract_that_reads_from_what_is_no_payload_is_refused(source: str) -> None:
    class Odd(BaseModel):
        title: str
        photo: Image
        seen: str = Field(default="", json_schema_extra=read_from(source))

    with pytest.raises(ValueError, match="cannot be read from"):
        contract(Odd, "{{ seen }}")


def test_readings_survive_the_contracts_json() -> None:
    again = TaskContract.model_validate_json(contract().model_dump_json())
    assert readings(again.input) == readings(contract().input)
    assert [(r.field, r.modality, r.content) for r in readings(again.input)] == [
        ("seen", Modality.IMAGE, "words"),
        ("shown", Modality.IMAGE, "description"),
    ]


def test_every_call_of_an_engine_gives_what_a_typed_text_would(tiny_shop: Path, photo: str) -> None:
    typed = {"photo": photo, "seen": "image/png", "shown": "7 by 5"}
    given = {"photo": photo}
    with Engine(tiny_shop, max_len=300, bridges=[SIZE, NAME]) as engine:
        assert engine.request("tiny.shop", given).ids == engine.request("tiny.shop", typed).ids
        expected = engine.run("tiny.shop", typed)
        assert engine.run("tiny.shop", given) == expected
        assert asyncio.run(engine.arun("tiny.shop", given)) == expected
        assert list(engine.run_many("tiny.shop", [given, typed])) == [expected] * 2
        assert "".join(engine.stream("tiny.shop", given)) == expected["text"]
    with Engine(tiny_shop, max_len=300) as engine, pytest.raises(UsageError, match="plugins/ocr"):
        engine.run("tiny.shop", given)
