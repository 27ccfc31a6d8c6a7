"""Headers of 3D files: kind, vertices and faces where they can be counted cheaply, and whether the file is complete."""

from __future__ import annotations

import json
import re
from typing import Any

from metier.contracts._source import DamagedError, Source, Traits

_COUNTED = 8 << 20
"""Bytes up to which a text mesh is read and counted."""
_PLY_BYTES = {"char": 1, "uchar": 1, "int8": 1, "uint8": 1, "short": 2, "ushort": 2, "int16": 2, "uint16": 2}
_PLY_BYTES |= {"int": 4, "uint": 4, "int32": 4, "uint32": 4, "float": 4, "float32": 4, "double": 8, "float64": 8}


def glb(source: Source) -> Traits | None:
    """Binary glTF 2.0: its length, and the JSON chunk."""
    if source.upto(0, 4) != b"glTF":
        return None
    version, length, json_length, kind = source.unpack("<III4s", 4)
    source.holds(length, "its content")
    if version != 2 or kind != b"JSON":
        raise DamagedError(f"it is glTF binary version {version} with a first chunk {kind!r}, not 2 with JSON")
    return _gltf(source.at(20, json_length), "model/gltf-binary")


def gltf(source: Source) -> Traits | None:
    """glTF 2.0 as JSON."""
    head = source.upto(0, 4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    if not head.startswith(b"{"):
        return None
    text = source.at(0, source.size)
    return _gltf(text, "model/gltf+json") if b'"asset"' in text else None


def _gltf(text: bytes, media_type: str) -> Traits:
    try:
        scene: Any = json.loads(text)
        version = scene["asset"]["version"]
        accessors = scene.get("accessors", [])
        parts = [part for mesh in scene.get("meshes", []) for part in mesh["primitives"]]
        vertices = sum(accessors[part["attributes"]["POSITION"]]["count"] for part in parts)
        corners = [
            accessors[part["indices"] if "indices" in part else part["attributes"]["POSITION"]]["count"]
            for part in parts
            if part.get("mode", 4) == 4
        ]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise DamagedError(f"its glTF JSON is cut off or damaged ({type(error).__name__}: {error})") from error
    if not str(version).startswith("2"):
        raise DamagedError(f"it is glTF {version}; only 2.x is read")
    return Traits(media_type, {"vertices": vertices, "faces": sum(corners) // 3})


def ply(source: Source) -> Traits | None:
    """PLY (Turk 1994): element counts from the header, and at least as many bytes as they need."""
    if source.upto(0, 4).rstrip(b"\r\n") not in {b"ply"}:
        return None
    head = source.upto(0, 1 << 16)
    stop = re.search(rb"end_header\r?\n", head)
    if not stop:
        raise DamagedError("it is cut off: its header has no end_header")
    counts: dict[str, int] = {}
    least = element = 0
    ascii_ = True
    for line in head[: stop.start()].decode("latin-1").splitlines():
        match line.split():
            case ["format", form, *_]:
                ascii_ = form == "ascii"
            case ["element", name, number] if number.isdecimal():
                counts[name] = element = int(number)
            case ["property", "list", length, item, name]:
                # A face has three corners at least; of other lists nothing is known.
                corners = 3 * _PLY_BYTES.get(item, 1) if name in {"vertex_indices", "vertex_index"} else 0
                least += element * (_PLY_BYTES.get(length, 1) + corners)
            case ["property", kind, _]:
                least += element * _PLY_BYTES.get(kind, 1)
    if "vertex" not in counts:
        raise DamagedError("its header names no vertex element")
    if not ascii_:
        source.holds(stop.end() + least, "its elements")
    elif source.size <= _COUNTED:
        lines = len(source.at(stop.end(), source.size - stop.end()).split(b"\n"))
        if lines < sum(counts.values()):
            raise DamagedError(f"it is cut off: {lines} lines for {sum(counts.values())} elements")
    return Traits("model/ply", {"vertices": counts["vertex"], "faces": counts.get("face")})


def stl(source: Source) -> Traits | None:
    """STL: ascii from `solid` to `endsolid`, or binary with 50 bytes per triangle."""
    head = source.upto(0, 1024)
    if head.lstrip().startswith(b"solid") and (b"facet" in head or b"endsolid" in head):
        if b"endsolid" not in source.upto(max(0, source.size - 1024), 1024):
            raise DamagedError("it is cut off: no endsolid at its end")
        faces = source.at(0, source.size).count(b"endfacet") if source.size <= _COUNTED else None
        return Traits("model/stl", {"vertices": None, "faces": faces})
    if source.size < 84:
        return None
    (faces,) = source.unpack("<I", 80)
    if source.size != 84 + 50 * faces:
        return None
    return Traits("model/stl", {"vertices": None, "faces": faces})


def obj(source: Source) -> Traits | None:
    """Wavefront OBJ: its statements; counted, and its faces' indices checked, up to 8 MiB."""
    head = source.upto(0, 1 << 16)
    if b"\0" in head or not re.search(rb"(?m)^v[ \t]+-?[\d.]+", head):
        return None
    lines = head.splitlines()[: 200 if source.size > len(head) else None]
    known = re.compile(
        rb"\s*(#|$|[vfglopsc][a-z]{0,2}\s|mtllib\s|usemtl\s|curv|surf|param|parm|trim|hole|end|deg\s|call)"
    )
    if not all(known.match(line + b" ") for line in lines):
        return None
    if source.size > _COUNTED:
        return Traits("model/obj", {"vertices": None, "faces": None})
    vertices = faces = most = 0
    for line in source.at(0, source.size).splitlines():
        if line.startswith((b"v ", b"v\t")):
            vertices += 1
            if len(line.split()) < 4:
                raise DamagedError(f"it is cut off: vertex {vertices} has fewer than three coordinates")
        elif line.startswith((b"f ", b"f\t")):
            faces += 1
            most = max([most, *(int(c.split(b"/")[0]) for c in line.split()[1:] if c.split(b"/")[0].isdigit())])
    if most > vertices:
        raise DamagedError(f"a face names vertex {most}, but the file has {vertices}: it is cut off or damaged")
    return Traits("model/obj", {"vertices": vertices, "faces": faces})


MESHES = (glb, gltf, ply, stl, obj)
