"""Headers of still images: kind and dimensions, and whether the file is complete. Pixels are not decoded."""

from __future__ import annotations

import zlib

from metier.contracts._source import DamagedError, Source, Traits

_JPEG_ALONE = {0x01, *range(0xD0, 0xD9)}
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def png(source: Source) -> Traits | None:
    """PNG (W3C, third edition): IHDR's size and CRC, then chunk by chunk to IEND."""
    if source.upto(0, 8) != b"\x89PNG\r\n\x1a\n":
        return None
    header = source.at(12, 17)
    if header[:4] != b"IHDR" or source.unpack(">I", 29)[0] != zlib.crc32(header):
        raise DamagedError("its IHDR chunk is damaged (checksum)")
    width, height = source.unpack(">II", 16)
    at = 8
    while True:
        length, kind = source.unpack(">I4s", at)
        at += 12 + length
        source.holds(at, f"chunk {kind.decode('latin-1')}")
        if kind == b"IEND":
            return _image("image/png", width, height)


def jpeg(source: Source) -> Traits | None:
    """JPEG (ITU T.81): segments up to the scan for the frame's size, then on to the end-of-image marker."""
    if source.upto(0, 3) != b"\xff\xd8\xff":
        return None
    at, size = 2, None
    while True:
        mark, code = source.unpack("BB", at)
        if mark != 0xFF:
            raise DamagedError(f"no JPEG marker at byte {at}")
        if code == 0xFF or code in _JPEG_ALONE:
            at += 1 if code == 0xFF else 2
            continue
        if code == 0xD9:
            raise DamagedError("it ends before any image data")
        (length,) = source.unpack(">H", at + 2)
        if code in _JPEG_FRAMES:
            height, width = source.unpack(">HH", at + 5)
            size = (width, height)
        at += 2 + length
        if code == 0xDA:
            break
    if size is None:
        raise DamagedError("no frame header comes before its image data")
    # Entropy-coded data never holds FF D9, so that the first one is the end; phones append videos after it.
    tail = b""
    while block := source.upto(at, 1 << 20):
        if b"\xff\xd9" in tail + block:
            return _image("image/jpeg", *size)
        tail, at = block[-1:], at + len(block)
    raise DamagedError("it is cut off: no end-of-image marker")


def gif(source: Source) -> Traits | None:
    """GIF 87a and 89a: logical screen size, then block by block to the trailer."""
    if source.upto(0, 6) not in {b"GIF87a", b"GIF89a"}:
        return None
    width, height, packed = source.unpack("<HHB", 6)
    at = 13 + _colours(packed)
    while True:
        (mark,) = source.unpack("B", at)
        if mark == 0x3B:
            return _image("image/gif", width, height)
        if mark == 0x2C:
            at += 11 + _colours(source.unpack("B", at + 9)[0])
        elif mark == 0x21:
            at += 2
        else:
            raise DamagedError(f"no GIF block at byte {at}")
        while length := source.unpack("B", at)[0]:
            at += 1 + length
        at += 1


def _colours(packed: int) -> int:
    """Bytes of the colour table that a packed field declares."""
    return 3 << (packed & 7) + 1 if packed & 0x80 else 0


def webp(source: Source) -> Traits | None:
    """WebP (RFC 9649): lossy, lossless and extended."""
    if source.upto(0, 4) != b"RIFF" or source.upto(8, 4) != b"WEBP":
        return None
    source.holds(8 + source.unpack("<I", 4)[0], "its RIFF chunk")
    kind = source.at(12, 4)
    if kind == b"VP8X":
        wide = source.at(24, 6)
        return _image("image/webp", 1 + int.from_bytes(wide[:3], "little"), 1 + int.from_bytes(wide[3:], "little"))
    if kind == b"VP8L":
        (bits,) = source.unpack("<I", 21)
        return _image("image/webp", 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    if kind == b"VP8 " and source.at(23, 3) == b"\x9d\x01\x2a":
        width, height = source.unpack("<HH", 26)
        return _image("image/webp", width & 0x3FFF, height & 0x3FFF)
    raise DamagedError(f"its first chunk is {kind!r}, not an image")


def bmp(source: Source) -> Traits | None:
    """BMP: core and Windows headers; uncompressed pixels must all be there."""
    if source.upto(0, 2) != b"BM" or source.upto(6, 4) != b"\0\0\0\0":
        return None
    offset, header = source.unpack("<II", 10)
    if header == 12:
        width, height, _, bits = source.unpack("<HHHH", 18)
        compression = 0
    elif header in {40, 52, 56, 64, 108, 124}:
        width, height, _, bits, compression = source.unpack("<iiHHI", 18)
    else:
        return None
    if compression == 0:
        source.holds(offset + (width * bits + 31) // 32 * 4 * abs(height), "its pixels")
    return _image("image/bmp", width, abs(height))


def _image(media_type: str, width: int, height: int) -> Traits:
    if width < 1 or height < 1:
        raise DamagedError(f"its dimensions are {width} by {height}")
    return Traits(media_type, {"width": width, "height": height})


IMAGES = (png, jpeg, gif, webp, bmp)
