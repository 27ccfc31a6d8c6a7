"""Headers of audio files: kind, sample rate, channels, duration, and whether the file is complete."""

from __future__ import annotations

from metier.contracts._source import DamagedError, Source, Traits

_WALKED = 8 << 20
"""Bytes up to which an MP3 without a Xing header is walked frame by frame."""
_MP3_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_MP3_KBPS = {
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def wav(source: Source) -> Traits | None:
    """WAVE (RIFF and RF64): the `fmt ` chunk, and a complete `data` chunk."""
    if source.upto(0, 4) not in {b"RIFF", b"RF64"} or source.upto(8, 4) != b"WAVE":
        return None
    at, rate, channels, per_second = 12, 0, 0, 0
    while True:
        kind, length = source.unpack("<4sI", at)
        if kind == b"fmt ":
            _, channels, rate, per_second = source.unpack("<HHII", at + 8)
        if kind == b"data":
            if not rate or not per_second or not channels:
                raise DamagedError("its data comes before a valid fmt chunk")
            # A writer that could not seek back leaves the length open.
            length = source.size - at - 8 if length in {0, 0xFFFFFFFF} else length
            source.holds(at + 8 + length, "its data chunk")
            return _speech("audio/wav", rate, channels, length / per_second)
        at += 8 + length + length % 2


def flac(source: Source) -> Traits | None:
    """FLAC (RFC 9639): STREAMINFO, every metadata block, and at least as many bytes as its frames need."""
    if source.upto(0, 4) != b"fLaC":
        return None
    info = source.at(8, 34)
    block, frame = int.from_bytes(info[2:4], "big"), int.from_bytes(info[4:7], "big")
    packed = int.from_bytes(info[10:18], "big")
    rate, channels, samples = packed >> 44, (packed >> 41 & 7) + 1, packed & (1 << 36) - 1
    if not rate or not block:
        raise DamagedError("its STREAMINFO block is damaged")
    at, last = 4, False
    while not last:
        (head,) = source.unpack(">I", at)
        last, at = bool(head >> 31), at + 4 + (head & 0xFFFFFF)
    source.holds(at + max(-(-samples // block) * frame, 2), "its audio frames")
    if source.at(at, 2)[0] != 0xFF:
        raise DamagedError("no audio frame follows its metadata")
    return _speech("audio/flac", rate, channels, samples / rate if samples else None)


def ogg(source: Source) -> Traits | None:
    """Ogg (RFC 3533) with Opus (RFC 7845), Vorbis, Speex or FLAC: page by page, so that truncation is found."""
    if source.upto(0, 4) != b"OggS":
        return None
    first = source.upto(28, 64).ljust(64, b"\0")
    if first.startswith(b"OpusHead"):
        rate, channels, clock, skip = 48000, first[9], 48000, int.from_bytes(first[10:12], "little")
    elif first.startswith(b"\x01vorbis"):
        rate, channels, skip = int.from_bytes(first[12:16], "little"), first[11], 0
        clock = rate
    elif first.startswith(b"Speex   "):
        rate, channels, skip = int.from_bytes(first[36:40], "little"), first[48], 0
        clock = rate
    elif first.startswith(b"\x7fFLAC"):
        packed = int.from_bytes(first[27:35], "big")
        rate, channels, skip = packed >> 44, (packed >> 41 & 7) + 1, 0
        clock = rate
    else:
        return None
    at, granule = 0, 0
    while at < source.size:
        mark, position, segments = source.unpack("<4s2xq12xB", at)
        if mark != b"OggS":
            raise DamagedError(f"no Ogg page at byte {at}")
        at += 27 + segments + sum(source.at(at + 27, segments))
        source.holds(at, "its last page")
        granule = max(granule, position)
    if not clock:
        raise DamagedError("its sample rate is 0")
    if granule <= skip:
        raise DamagedError("it is cut off: no sound follows its headers")
    return _speech("audio/ogg", rate, channels, max(0, granule - skip) / clock)


def mp3(source: Source) -> Traits | None:
    """MPEG audio: past any ID3v2 tag (id3.org), two frames in a row; length by Xing header or frames."""
    tagged = source.upto(0, 3) == b"ID3"
    at = 0
    if tagged:
        a, b, c, d = source.at(6, 4)
        at = 10 + (a << 21 | b << 14 | c << 7 | d)
        source.holds(at, "its ID3 tag")
    frame = _mp3_frame(source.upto(at, 4))
    if frame is None:
        if tagged:
            raise DamagedError("no MPEG audio follows its ID3 tag")
        return None
    layer, rate, channels, length, samples, kbps = frame
    if _mp3_frame(source.upto(at + length, 4)) is None:
        if source.size >= at + length + 4 and not tagged:
            return None
        source.holds(at + length, "its first frame")
    info = source.upto(at, 200)
    xing = max(info.find(b"Xing"), info.find(b"Info"))
    if layer == 3 and xing > 0:
        flags, count, total = source.unpack(">III", at + xing + 4)
        if flags & 3 == 3:
            source.holds(at + total, "its audio")
        if flags & 1:
            return _speech("audio/mpeg", rate, channels, count * samples / rate)
    if source.size > _WALKED:
        return _speech("audio/mpeg", rate, channels, (source.size - at) / (kbps * 125))
    count = 0
    while next_frame := _mp3_frame(source.upto(at, 4)):
        at, count = at + next_frame[3], count + 1
        source.holds(at, f"frame {count}")
    if 0 < source.size - at < 4:
        raise DamagedError(f"it is cut off in the header of frame {count + 1}")
    return _speech("audio/mpeg", rate, channels, count * samples / rate)


def _mp3_frame(head: bytes) -> tuple[int, int, int, int, int, int] | None:
    """(layer, rate, channels, bytes, samples, kbit/s) of a frame header; None where it is not one."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer, kbps, rate = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3), head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 4 or kbps in {0, 15} or rate == 3:
        return None
    hertz, bits = _MP3_RATES[version][rate], _MP3_KBPS[version == 3, layer][kbps - 1]
    samples = 384 if layer == 1 else 1152 if layer == 2 or version == 3 else 576
    padding = head[2] >> 1 & 1
    length = (12000 * bits // hertz + padding) * 4 if layer == 1 else samples * bits * 125 // hertz + padding
    return layer, hertz, 1 if head[3] >> 6 == 3 else 2, length, samples, bits


def _speech(media_type: str, rate: int, channels: int, duration: float | None) -> Traits:
    if rate < 1 or channels < 1:
        raise DamagedError(f"its header has {rate} Hz and {channels} channels")
    return Traits(media_type, {"sample_rate": rate, "channels": channels, "duration": duration})


AUDIO = (wav, flac, ogg, mp3)
