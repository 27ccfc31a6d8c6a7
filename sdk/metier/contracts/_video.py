"""Headers of film containers, MP4 and MOV (ISO base media), WebM (Matroska): dimensions, duration, completeness."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from metier.contracts._source import DamagedError, Source, Traits


class _Part(NamedTuple):
    kind: bytes | int
    start: int
    end: int


def mp4(source: Source) -> Traits | None:
    """ISO/IEC 14496-12: every top-level box complete, with `moov`; facts of the video track, else the audio track."""
    if source.upto(4, 4) != b"ftyp":
        return None
    brand = source.at(8, 4)
    top = {box.kind: box for box in _boxes(source, 0, source.size)}
    for kind, what in ((b"moov", "index"), (b"mdat", "media data")):
        if kind not in top:
            raise DamagedError(f"it is cut off: its {what} ({kind.decode()} box) is missing")
    moov = top[b"moov"]
    facts: dict[str, int | float | None] = {}
    sound: dict[str, int | float | None] = {}
    duration: float | None = None
    for box in _boxes(source, moov.start, moov.end):
        if box.kind == b"mvhd":
            duration = _mvhd(source, box.start)
        if box.kind == b"trak":
            film, track = _track(source, box)
            (facts if film else sound).update(track)
    if "width" in facts:
        media_type = "video/quicktime" if brand == b"qt  " else "video/mp4"
        return Traits(media_type, {"width": facts["width"], "height": facts["height"], "duration": duration})
    if "sample_rate" in sound:
        return Traits("audio/mp4", {**sound, "duration": duration})
    raise DamagedError("it has neither a film nor a sound track")


def _boxes(source: Source, at: int, end: int) -> Iterator[_Part]:
    while at + 8 <= end:
        size, kind = source.unpack(">I4s", at)
        start = at + 8
        if size == 1:
            (size,) = source.unpack(">Q", at + 8)
            start += 8
        size = end - at if size == 0 else size
        if size < start - at:
            raise DamagedError(f"the box at byte {at} declares {size} bytes")
        source.holds(at + size, f"its {kind.decode('latin-1')} box")
        yield _Part(kind, start, min(at + size, end))
        at += size


def _mvhd(source: Source, at: int) -> float | None:
    (version,) = source.unpack("B", at)
    scale, length = source.unpack(">IQ", at + 20) if version == 1 else source.unpack(">II", at + 12)
    return length / scale if scale else None


def _track(source: Source, track: _Part) -> tuple[bool, dict[str, int | float | None]]:
    facts: dict[str, int | float | None] = {}
    film = False
    for box in _boxes(source, track.start, track.end):
        if box.kind == b"tkhd":
            width, height = source.unpack(">II", box.end - 8)
            film = bool(width >> 16 and height >> 16)
            if film:
                facts = {"width": width >> 16, "height": height >> 16}
        elif box.kind in {b"mdia", b"minf", b"stbl"} and not film:
            facts.update(_track(source, box)[1])
        elif box.kind == b"stsd" and not film:
            entry = box.start + 16
            if source.at(entry - 4, 4) in {b"mp4a", b"Opus", b"fLaC", b"alac", b"ac-3", b".mp3"}:
                channels, _, _, _, rate = source.unpack(">HHHHI", entry + 16)
                facts = {"sample_rate": rate >> 16, "channels": channels}
    return film, facts


_EBML, _DOCTYPE, _SEGMENT = 0x1A45DFA3, 0x4282, 0x18538067
_INFO, _SCALE, _DURATION, _TRACKS, _ENTRY, _VIDEO = 0x1549A966, 0x2AD7B1, 0x4489, 0x1654AE6B, 0xAE, 0xE0
_WIDTH, _HEIGHT, _CLUSTER = 0xB0, 0xBA, 0x1F43B675


def webm(source: Source) -> Traits | None:
    """Matroska (RFC 9559): the segment complete where its size is known; Info and Tracks before the first cluster."""
    if source.upto(0, 4) != _EBML.to_bytes(4, "big"):
        return None
    head = next(_elements(source, 0, source.size))
    kinds = {e.kind: source.at(e.start, e.end - e.start) for e in _elements(source, head.start, head.end)}
    doctype = bytes(kinds.get(_DOCTYPE, b"")).rstrip(b"\0")
    segment = next(_elements(source, head.end, source.size), None)
    if segment is None or segment.kind != _SEGMENT:
        raise DamagedError("no segment follows its EBML header")
    facts: dict[str, int | float | None] = {"width": None, "height": None, "duration": None}
    scale, ticks, clusters = 1_000_000, None, False
    for part in _elements(source, segment.start, segment.end):
        if part.kind == _INFO:
            for e in _elements(source, part.start, part.end):
                if e.kind == _SCALE:
                    scale = int.from_bytes(source.at(e.start, e.end - e.start), "big")
                elif e.kind == _DURATION:
                    (ticks,) = source.unpack(">f" if e.end - e.start == 4 else ">d", e.start)
        elif part.kind == _TRACKS:
            for entry in _elements(source, part.start, part.end):
                for e in _elements(source, entry.start, entry.end) if entry.kind == _ENTRY else ():
                    for v in _elements(source, e.start, e.end) if e.kind == _VIDEO else ():
                        name = {_WIDTH: "width", _HEIGHT: "height"}.get(int(v.kind))
                        if name:
                            facts[name] = int.from_bytes(source.at(v.start, v.end - v.start), "big")
        elif part.kind == _CLUSTER:
            clusters = True
            break
    if not clusters:
        raise DamagedError("it is cut off: no cluster follows its index")
    if facts["width"] is None:
        raise DamagedError("it has no film track")
    facts["duration"] = ticks * scale / 1e9 if ticks is not None else None
    return Traits("video/webm" if doctype == b"webm" else "video/x-matroska", facts)


def _elements(source: Source, at: int, end: int) -> Iterator[_Part]:
    while at < end:
        kind, used, _ = _vint(source, at, keep_marker=True)
        size, more, unknown = _vint(source, at + used, keep_marker=False)
        start = at + used + more
        stop = end if unknown else start + size
        source.holds(stop, f"element {kind:#x}")
        yield _Part(kind, start, stop)
        at = stop


def _vint(source: Source, at: int, *, keep_marker: bool) -> tuple[int, int, bool]:
    """(value, bytes, whether all its bits are set, which means `unknown`) of an EBML variable-size integer."""
    (first,) = source.unpack("B", at)
    length = 9 - first.bit_length()
    if length > 8:
        raise DamagedError(f"no Matroska element at byte {at}")
    value = int.from_bytes(source.at(at, length), "big")
    bare = value & (1 << 7 * length) - 1
    return (value if keep_marker else bare), length, bare == (1 << 7 * length) - 1


FILMS = (mp4, webm)
