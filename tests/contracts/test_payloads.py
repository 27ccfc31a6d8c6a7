"""Payloads know what they carry from a header alone, and refuse a wrong, damaged or cut-off file in plain words."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from metier import Image, Mesh, Speech, Video, modalities_of
from metier.contracts import ContractError, Modality, Payload, TaskContract, problems, prompt, schema_of

MEDIA = Path(__file__).parent / "media"

FILES: dict[str, tuple[type[Payload], dict[str, Any]]] = {
    "pixel.png": (Image, {"media_type": "image/png", "width": 24, "height": 16}),
    "baseline.jpg": (Image, {"media_type": "image/jpeg", "width": 24, "height": 16}),
    "progressive.jpg": (Image, {"media_type": "image/jpeg", "width": 24, "height": 16}),
    "exif.jpg": (Image, {"media_type": "image/jpeg", "width": 24, "height": 16}),
    "still.gif": (Image, {"media_type": "image/gif", "width": 24, "height": 16}),
    "moving.gif": (Image, {"media_type": "image/gif", "width": 24, "height": 16}),
    "lossy.webp": (Image, {"media_type": "image/webp", "width": 24, "height": 16}),
    "lossless.webp": (Image, {"media_type": "image/webp", "width": 24, "height": 16}),
    "alpha.webp": (Image, {"media_type": "image/webp", "width": 24, "height": 16}),
    "plain.bmp": (Image, {"media_type": "image/bmp", "width": 24, "height": 16}),
    "voice.wav": (Speech, {"media_type": "audio/wav", "sample_rate": 16000, "channels": 1, "duration": 0.25}),
    "voice.flac": (Speech, {"media_type": "audio/flac", "sample_rate": 16000, "channels": 1, "duration": 0.25}),
    "vorbis.ogg": (Speech, {"media_type": "audio/ogg", "sample_rate": 16000, "channels": 1, "duration": 0.25}),
    "opus.ogg": (Speech, {"media_type": "audio/ogg", "sample_rate": 48000, "channels": 1, "duration": 0.25}),
    "xing.mp3": (Speech, {"media_type": "audio/mpeg", "sample_rate": 16000, "channels": 1}),
    "bare.mp3": (Speech, {"media_type": "audio/mpeg", "sample_rate": 44100, "channels": 2}),
    "voice.m4a": (Speech, {"media_type": "audio/mp4", "sample_rate": 16000, "channels": 1, "duration": 0.25}),
    "film.mp4": (Video, {"media_type": "video/mp4", "width": 48, "height": 32, "duration": 0.5}),
    "fast.mp4": (Video, {"media_type": "video/mp4", "width": 48, "height": 32, "duration": 0.5}),
    "film.mov": (Video, {"media_type": "video/quicktime", "width": 48, "height": 32, "duration": 0.5}),
    "film.webm": (Video, {"media_type": "video/webm", "width": 48, "height": 32, "duration": 0.5}),
    "film.mkv": (Video, {"media_type": "video/x-matroska", "width": 48, "height": 32, "duration": 0.5}),
}

SCENE = {
    "asset": {"version": "2.0"},
    "accessors": [{"count": 4}, {"count": 6}],
    "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
}


def glb() -> bytes:
    text = json.dumps(SCENE).encode()
    text += b" " * (-len(text) % 4)
    return struct.pack("<4sIII4s", b"glTF", 2, 20 + len(text), len(text), b"JSON") + text


def ply(form: str) -> bytes:
    head = f"ply\nformat {form} 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    head += "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    if form == "ascii":
        return head.encode() + b"0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"
    return head.encode() + struct.pack("<9fB3i", *[0.0] * 9, 3, 0, 1, 2)


FACET = "facet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\nendfacet\n"
MESHES: dict[str, tuple[bytes, dict[str, Any]]] = {
    "box.glb": (glb(), {"media_type": "model/gltf-binary", "vertices": 4, "faces": 2}),
    "box.gltf": (json.dumps(SCENE).encode(), {"media_type": "model/gltf+json", "vertices": 4, "faces": 2}),
    "ascii.ply": (ply("ascii"), {"media_type": "model/ply", "vertices": 3, "faces": 1}),
    "binary.ply": (ply("binary_little_endian"), {"media_type": "model/ply", "vertices": 3, "faces": 1}),
    "ascii.stl": (f"solid part\n{FACET}endsolid part\n".encode(), {"media_type": "model/stl", "faces": 1}),
    "binary.stl": (b"\0" * 80 + struct.pack("<I", 2) + b"\0" * 100, {"media_type": "model/stl", "faces": 2}),
    "box.obj": (
        b"# a triangle\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvn 0 0 1\nf 1//1 2//1 3//1\n",
        {"media_type": "model/obj", "vertices": 3, "faces": 1},
    ),
}


def content(name: str) -> bytes:
    return MESHES[name][0] if name in MESHES else (MEDIA / name).read_bytes()


def kind(name: str) -> type[Payload]:
    return Mesh if name in MESHES else FILES[name][0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All the files in one folder."""
    media = tmp_path_factory.mktemp("media")
    for name in (*FILES, *MESHES):
        (media / name).write_bytes(content(name))
    return media


@pytest.mark.parametrize("name", [*FILES, *MESHES])
def test_kind_size_and_shape_are_read_from_a_path_bytes_or_a_data_uri(folder: Path, name: str) -> None:
    data = content(name)
    facts = MESHES[name][1] if name in MESHES else FILES[name][1]
    by_path = kind(name).of(folder / name)
    by_bytes = kind(name).of(data)
    by_uri = kind(name).of(by_bytes.data_uri())
    assert by_uri == by_bytes and by_path.source == str(folder / name)
    for payload in (by_path, by_bytes):
        dumped = payload.model_dump()
        assert {key: dumped[key] for key in facts} == pytest.approx(facts) and dumped["size"] == len(data)
        assert payload.read() == data
        assert kind(name).model_validate_json(payload.model_dump_json()) == payload
        assert kind(name).model_validate(json.loads(payload.model_dump_json())) == payload


@pytest.mark.parametrize("name", [*FILES, *MESHES])
def test_a_file_that_is_cut_off_anywhere_is_refused(name: str) -> None:
    """Except where what is left is whole by the format's own rules: at a frame or page of a stream, or a text line."""
    data = content(name)
    allowed = {"bare.mp3": 11, "opus.ogg": 1, "vorbis.ogg": 1, "box.obj": len(data), "ascii.ply": 8}.get(name, 0)
    if name in {"ascii.stl", "box.gltf"}:
        allowed = 12
    taken = [at for at in range(1, len(data)) if accepted(kind(name), data[:at])]
    assert len(taken) <= allowed, taken
    assert not accepted(kind(name), data[: len(data) // 2]) or name in {"box.obj"}


def accepted(kind: type[Payload], data: bytes) -> bool:
    try:
        kind.of(data)
    except ContractError as error:
        assert str(error) and "Traceback" not in str(error)
        return False
    return True


@pytest.mark.parametrize("name", [*FILES, *MESHES])
def test_a_file_of_another_modality_is_refused_by_what_it_is(folder: Path, name: str) -> None:
    for other in {Image, Speech, Video, Mesh} - {kind(name)}:
        with pytest.raises(ContractError) as caught:
            other.of(folder / name)
        assert f"not {other.modality}" in str(caught.value) and other.kinds in str(caught.value)


@given(st.sampled_from([*FILES, *MESHES]), st.data())
def test_damage_is_either_not_seen_or_named_never_another_exception(name: str, draw: st.DataObject) -> None:
    data = bytearray(content(name))
    for _ in range(draw.draw(st.integers(1, 4))):
        data[draw.draw(st.integers(0, min(len(data), 600) - 1))] = draw.draw(st.integers(0, 255))
    accepted(kind(name), bytes(data))


@given(st.binary(max_size=300), st.sampled_from([Image, Speech, Video, Mesh]))
def test_random_bytes_are_never_a_payload(data: bytes, of: type[Payload]) -> None:
    assert not accepted(of, data)


def test_a_box_nested_a_thousand_times_is_an_error_and_not_a_crash() -> None:
    boxes = b""
    for _ in range(3000):
        boxes = struct.pack(">I4s", len(boxes) + 8, b"mdia") + boxes
    track = struct.pack(">I4s", len(boxes) + 8, b"trak") + boxes
    moov = struct.pack(">I4s", len(track) + 8, b"moov") + track
    with pytest.raises(ContractError, match="damaged"):
        Video.of(b"\0\0\0\x10ftypisom\0\0\0\0" + moov + b"\0\0\0\x08mdat")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("no/such/file.png", "cannot be read: No such file"),
        ("https://example.com/a.png", "fetch it first"),
        ("data:image/png,", "is empty"),
        ("data:image/png;base64,####", "base64 is damaged"),
        ("data:image/png", "must read data:"),
        (b"", "is empty"),
        (b"hello", "no image file that Metier reads"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_to_do(source: Any, words: str) -> None:
    with pytest.raises(ContractError) as caught:
        Image.of(source)
    assert words in str(caught.value) and "PNG" in str(caught.value.remedy)


def test_a_data_uri_that_lies_about_its_type_is_refused_and_an_alias_is_not() -> None:
    uri = Image.of(MEDIA / "baseline.jpg").data_uri()
    assert Image.of(uri.replace("image/jpeg", "image/jpg")).media_type == "image/jpeg"
    assert Image.of(uri.replace("image/jpeg", "application/octet-stream")).media_type == "image/jpeg"
    with pytest.raises(ContractError, match="declares image/png, its content is image/jpeg"):
        Image.of(uri.replace("image/jpeg", "image/png"))


def test_a_described_payload_is_believed_where_its_file_is_not_but_its_inline_data_is_not_overruled() -> None:
    logged = {"source": "camera/1.png", "media_type": "image/png", "size": 91, "width": 24, "height": 16}
    assert Image.model_validate(logged).width == 24
    inline = Image.of(MEDIA / "pixel.png").model_copy(update={"source": Image.of(MEDIA / "pixel.png").data_uri()})
    with pytest.raises(ValidationError, match="width does not agree with the data"):
        Image.model_validate({**inline.model_dump(), "width": 9})


class Post(BaseModel):
    photo: Image
    clip: Video | None = None
    caption: str


def test_a_contract_field_takes_any_form_of_a_payload_and_derives_its_modality() -> None:
    path, data = MEDIA / "pixel.png", (MEDIA / "pixel.png").read_bytes()
    uri = Image.of(data).data_uri()
    shapes = {(Post(photo=form, caption="x").photo.width) for form in (path, str(path), data, uri)}  # type: ignore[arg-type]
    assert shapes == {24}
    assert modalities_of(Post) == {Modality.IMAGE, Modality.VIDEO, Modality.TEXT}
    for payload in (Image, Speech, Video, Mesh):
        assert modalities_of(payload) == {payload.modality}
        assert schema_of(payload)["x-metier-modality"] == payload.modality


def test_a_task_with_a_photo_checks_its_input_as_plain_json() -> None:
    class Caption(BaseModel):
        text: str

    task = TaskContract(
        name="press.caption", kind="generate", input=Post, output=Caption, prompts={"en": prompt("{{ caption }}")}
    )
    assert task.modalities_in == {Modality.IMAGE, Modality.VIDEO, Modality.TEXT}
    assert TaskContract.model_validate_json(task.model_dump_json()) == task
    post = Post(photo=MEDIA / "pixel.png", caption="x")  # type: ignore[arg-type]
    assert not problems(task.input, json.loads(post.model_dump_json()))
    assert not problems(task.input, {"photo": "a.png", "caption": "x"})
    assert problems(task.input, {"photo": 3, "caption": "x"})[0].field == "photo"


def test_a_payload_s_own_schema_serialises_and_refers_to_nothing_outside() -> None:
    schema = TypeAdapter(Post).json_schema()
    assert json.loads(json.dumps(schema)) == schema
