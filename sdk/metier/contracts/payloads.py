"""The payload types: a picture, a voice, a film, a 3D model, as a contract's field or a product's call gives them.

A payload is its file's place or its bytes, with the facts of the header. Nothing is decoded: bridges do that.
"""

import base64
import binascii
import io
import re
import struct
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self
from urllib.parse import unquote_to_bytes

from pydantic import Field, ValidationError, model_validator
from pydantic.annotated_handlers import GetJsonSchemaHandler
from pydantic_core import CoreSchema

from metier.contracts._audio import AUDIO
from metier.contracts._images import IMAGES
from metier.contracts._meshes import MESHES
from metier.contracts._source import DamagedError, Source, Traits
from metier.contracts._video import FILMS
from metier.contracts.errors import ContractError
from metier.contracts.modality import MODALITY_KEY, Modality
from metier.contracts.schema import Data, JsonSchema

_READERS = (*IMAGES, *AUDIO, *FILMS, *MESHES)
_DATA_URI = re.compile(r"data:(?P<type>[^;,]*)(?:;[^;,=]+=[^;,]*)*(?P<base64>;base64)?,", re.IGNORECASE)
_ALIASES = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "image/x-ms-bmp": "image/bmp",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/mp3": "audio/mpeg",
    "audio/x-flac": "audio/flac",
    "audio/opus": "audio/ogg",
    "application/ogg": "audio/ogg",
    "audio/m4a": "audio/mp4",
    "audio/x-m4a": "audio/mp4",
    "application/sla": "model/stl",
    "model/x.stl-binary": "model/stl",
    "model/x.stl-ascii": "model/stl",
    "application/x-ply": "model/ply",
}


class Payload(Data):
    """One file of a modality. A field of such a type takes a path, bytes, a base64 data URI, or the payload as JSON."""

    modality: ClassVar[Modality]
    family: ClassVar[str]
    """First part of its media types."""
    kinds: ClassVar[str]

    source: str
    """A path as it was given, or a `data:` URI."""
    media_type: str
    """IANA media type, found in the content and not in the name."""
    size: int = Field(ge=0)
    """Bytes."""

    @classmethod
    def of(cls, source: "str | Path | bytes") -> Self:
        """A payload from a path, a data URI or bytes.

        Raises:
            ContractError: there is no such file, it is of another kind, cut off, or damaged.
        """
        try:
            return cls.model_validate(source)
        except ValidationError as error:
            where = None if isinstance(source, bytes) or str(source).startswith("data:") else str(source)
            problem = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise ContractError(problem, where=where, remedy=f"give a complete file: {cls.kinds}") from error

    def read(self) -> bytes:
        """The file's bytes.

        Raises:
            ContractError: the file is no longer there.
        """
        if self.source.startswith("data:"):
            return _decoded(self.source)
        try:
            return Path(self.source).read_bytes()
        except OSError as error:
            raise ContractError(f"cannot be read: {error.strerror}", where=self.source) from error

    def data_uri(self) -> str:
        """The payload as a `data:` URI, to send where the path means nothing."""
        return self.source if self.source.startswith("data:") else _uri(self.media_type, self.read())

    @model_validator(mode="before")
    @classmethod
    def _from_anything(cls, value: Any) -> Any:
        if isinstance(value, bytes | bytearray | memoryview):
            return cls._described(bytes(value), None)
        if isinstance(value, str) and value[:5].lower() == "data:":
            return cls._from_uri(value)
        if isinstance(value, str | Path):
            return cls._from_path(str(value))
        if isinstance(value, dict) and isinstance(text := value.get("source"), str):
            # A log is read where its files are not, so that a path that was described already is believed.
            if text[:5].lower() == "data:":
                found = cls._from_uri(text)
                if wrong := [k for k, v in value.items() if k in found and v != found[k]]:
                    raise ValueError(f"{', '.join(wrong)} does not agree with the data")
                return {**value, **found}
            return {**cls._from_path(text), **value} if "media_type" not in value else value
        return value

    @classmethod
    def _from_uri(cls, uri: str) -> dict[str, Any]:
        head = _DATA_URI.match(uri)
        if not head:
            raise ValueError("a data URI must read data:<media type>;base64,<data>")
        declared = head["type"].lower()
        return cls._described(_decoded(uri), _ALIASES.get(declared, declared) or None)

    @classmethod
    def _from_path(cls, path: str) -> dict[str, Any]:
        if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", path):
            raise ValueError(f"{path[:80]} is an address; fetch it first, then give the file or its bytes")
        try:
            with Path(path).open("rb") as file:
                size = file.seek(0, io.SEEK_END)
                return {"source": path, **cls._traits(Source(file, size), path)}
        except (OSError, ValueError) as error:
            if isinstance(error, OSError):
                raise ValueError(f"{path[:80]} cannot be read: {error.strerror or error}") from error
            raise

    @classmethod
    def _described(cls, data: bytes, declared: str | None) -> dict[str, Any]:
        found = cls._traits(Source(io.BytesIO(data), len(data)), "the data")
        if declared not in {None, "application/octet-stream", found["media_type"]}:
            raise ValueError(f"the data URI declares {declared}, its content is {found['media_type']}")
        return {"source": _uri(found["media_type"], data), **found}

    @classmethod
    def _traits(cls, source: Source, name: str) -> dict[str, Any]:
        if not source.size:
            raise ValueError(f"{name} is empty")
        found = _sniff(source, name)
        if found is None:
            raise ValueError(f"{name} is no {cls.modality} file that Metier reads ({cls.kinds})")
        if found.media_type.split("/")[0] != cls.family:
            raise ValueError(f"{name} is {found.media_type}, not {cls.modality} ({cls.kinds})")
        return {"media_type": found.media_type, "size": source.size, **found.facts}

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        full_schema = handler.resolve_ref_schema(handler(core))
        given = {"type": "string", "description": "a path, or a data: URI in base64"}
        described = {k: v for k, v in full_schema.items() if k not in {"title", "description"}}
        described["required"] = ["source"]
        return {
            "title": cls.__name__,
            "description": f"{cls.modality}: {cls.kinds}",
            MODALITY_KEY: str(cls.modality),
            "anyOf": [given, described],
        }


class Image(Payload):
    """A still picture."""

    modality = Modality.IMAGE
    family = "image"
    kinds = "PNG, JPEG, GIF, WebP or BMP"
    width: int = Field(ge=1)
    """Pixels, before any EXIF rotation."""
    height: int = Field(ge=1)
    """Pixels."""


class Speech(Payload):
    """A recorded voice, or any sound."""

    modality = Modality.SPEECH
    family = "audio"
    kinds = "WAV, FLAC, Ogg (Opus, Vorbis), MP3 or M4A"
    sample_rate: int = Field(ge=1)
    """Hertz."""
    channels: int = Field(ge=1)
    duration: Annotated[float | None, Field(ge=0)] = None
    """Seconds, where the header has it; of an MP3 without a Xing header, estimated from the bit rate."""


class Video(Payload):
    """A film."""

    modality = Modality.VIDEO
    family = "video"
    kinds = "MP4, QuickTime, WebM or Matroska"
    width: int = Field(ge=1)
    """Pixels."""
    height: int = Field(ge=1)
    """Pixels."""
    duration: Annotated[float | None, Field(ge=0)] = None
    """Seconds, where the header has it."""


class Mesh(Payload):
    """A 3D model."""

    modality = Modality.MESH
    family = "model"
    kinds = "GLB, glTF, PLY, STL or OBJ"
    vertices: Annotated[int | None, Field(ge=0)] = None
    """Where the file can be counted cheaply."""
    faces: Annotated[int | None, Field(ge=0)] = None
    """Triangles, or polygons where the format has them; where the file can be counted cheaply."""


PAYLOADS: dict[Modality, type[Payload]] = {kind.modality: kind for kind in (Image, Speech, Video, Mesh)}
"""The type that carries each modality; TEXT is a `str`."""


def _sniff(source: Source, name: str) -> Traits | None:
    for reader in _READERS:
        try:
            if found := reader(source):
                return found
        except DamagedError as error:
            raise ValueError(f"{name} looks like {reader.__name__.upper()}, but {error}") from error
        except (struct.error, IndexError, OverflowError, RecursionError) as error:
            raise ValueError(f"{name} looks like {reader.__name__.upper()}, but its header is damaged") from error
    return None


def _uri(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def _decoded(uri: str) -> bytes:
    head, _, body = uri.partition(",")
    if not head.lower().endswith(";base64"):
        return unquote_to_bytes(body)
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"the data URI's base64 is damaged or cut off: {error}") from error
