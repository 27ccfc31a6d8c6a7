"""Adds LoRA adapters to a bundle and removes them, in seconds and atomically. Needs no torch.

The bundle is cloned by hard links, changed, and put in the old one's place: a reader sees one or the other.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock

from metier.bases.checksum import entries_of
from metier.bases.finetune import load_finetune
from metier.bases.resolve import weights_here
from metier.contracts import Base, BundleError, FineTuneCard, Manifest, UsageError
from metier.contracts.bundle import MANIFEST, AdapterEntry, Golden, Parity
from metier.contracts.finetune import CARD, PEFT_CONFIG, WEIGHTS
from metier.data.samples_file import read_samples
from metier.decoding.adapter_store import check_name
from metier.decoding.lora import LoraArrays, fold_error, lay_out, read_folder
from metier.decoding.tokenizer import ChatTokenizer
from metier.disk import atomic_folder
from metier.export.entry_names import name_of
from metier.prompting.prompt import prompt_ids
from metier.runtime.bundle import open_bundle, read_manifest

FOLDER = "adapters"
PROMPTS = 2
"""Held-out prompts of each adapter that are frozen into the bundle."""


@dataclass(frozen=True)
class VerifiedAdapter:
    """What `verify` found of one adapter."""

    name: str
    rank: int
    bytes: int
    """Of its slot arrays."""
    fold_error: float
    parity: Parity | None


def add_adapter(
    bundle: str | Path, source: str | Path, name: str | None = None, *, any_base: bool = False
) -> AdapterEntry:
    """Add a fine-tune, or any PEFT LoRA folder, to a bundle with slots.

    Args:
        bundle: folder of `metier export --slots`.
        source: folder of `metier adapt`, or one that PEFT saved.
        name: by which requests select it; an adapter of that name is replaced. None takes the name in its card, or of
            its folder, where the bundle has no entry of that name.
        any_base: take a PEFT folder that was trained on another base than the bundle's; its shapes must fit all the
            same.

    Raises:
        UsageError: no slot can hold it, it was trained on another base, its own name is taken, or the bundle has no
            slots.
        BundleError, DataError: the bundle or the fine-tune is damaged. In all cases the bundle is unchanged.
    """
    with edited(Path(bundle)) as (part, manifest):
        name = free_name(manifest, Path(source)) if name is None else name
        manifest = install(part, manifest, Path(source), name, any_base=any_base)
        write_manifest(part, manifest)
        open_bundle(part)
    return next(entry for entry in manifest.adapters if entry.name == name)


def free_name(manifest: Manifest, source: Path) -> str:
    """The name of a fine-tune's card or folder, where no entry of the bundle has it.

    Raises:
        UsageError: an entry has it, or no name can be derived.
    """
    name = name_of(source)
    if name in {entry.name for entry in manifest.named}:
        raise UsageError(
            f"the bundle already contains {name}",
            where=str(source),
            remedy=f"replace it with `--name {name}`, or give another --name",
        )
    return name


def remove_adapter(bundle: str | Path, name: str) -> None:
    """Remove an adapter from a bundle.

    Raises:
        UsageError: there is none of that name. BundleError: the bundle is damaged.
    """
    with edited(Path(bundle)) as (part, manifest):
        if name not in {entry.name for entry in manifest.adapters}:
            known = ", ".join(entry.name for entry in manifest.adapters) or "none"
            raise UsageError(f"there is no adapter {name}", where=str(bundle), remedy=f"adapters: {known}")
        write_manifest(part, _without(part, manifest, name))
        open_bundle(part)


def verify_adapters(bundle: str | Path) -> list[VerifiedAdapter]:
    """Check every file of a bundle, and that each adapter's two forms, PEFT's and ONNX Runtime's, are equal.

    Raises:
        BundleError: something is damaged, or the two forms differ.
    """
    path = Path(bundle)
    manifest = open_bundle(path).manifest
    found = []
    for entry in manifest.adapters:
        folder = path / entry.path
        modules = read_folder(folder)
        arrays = lay_out(modules, manifest.slots, str(folder))
        file = folder / f"{entry.name}.onnx_adapter"
        if not _same(arrays, file):
            raise BundleError("it differs from the PEFT weights beside it", where=str(file), remedy="add it again")
        error = fold_error(arrays, modules, manifest.slots)
        found.append(VerifiedAdapter(entry.name, arrays.rank, arrays.nbytes, error, entry.parity))
    return found


def install(
    part: Path, manifest: Manifest, source: Path, name: str, *, any_base: bool = False, parity: Parity | None = None
) -> Manifest:
    """Write an adapter's files into the folder of a bundle that is being written; the manifest with it.

    Raises:
        UsageError, DataError: as `add_adapter`.
    """
    check_name(name)
    if not manifest.slots:
        raise UsageError(
            "this bundle has no LoRA slots", where=manifest.name, remedy="export one with `metier export --slots`"
        )
    card = load_finetune(source).card if (source / CARD).is_file() else None
    modules = read_folder(source)
    check_base(manifest, card, source, any_base=any_base)
    arrays = lay_out(modules, manifest.slots, str(source))
    manifest = _without(part, manifest, name)
    folder = part / FOLDER / name
    folder.mkdir(parents=True)
    for file in (WEIGHTS, PEFT_CONFIG, *([CARD] if card else [])):
        shutil.copyfile(source / file, folder / file)
    write_onnx_adapter(arrays, folder / f"{name}.onnx_adapter")
    entry = AdapterEntry(
        name=name,
        path=f"{FOLDER}/{name}",
        rank=arrays.rank,
        card=card,
        parity=parity,
        fold_error=fold_error(arrays, modules, manifest.slots),
    )
    files = {f"{FOLDER}/{name}/{file}": found for file, found in entries_of(folder).items()}
    return manifest.model_copy(
        update={
            "adapters": (*manifest.adapters, entry),
            "files": {**manifest.files, **files},
            "golden": (*manifest.golden, *_golden(part, manifest, card, source)),
        }
    )


def check_base(manifest: Manifest, card: FineTuneCard | None, source: Path, *, any_base: bool = False) -> None:
    """Raise UsageError where a LoRA was trained on another base than the bundle's, or on another revision of it."""
    other = _other_base(manifest.base, card.base) if card else None if any_base else _other_peft_base(manifest, source)
    if other is not None:
        base = manifest.base
        raise UsageError(
            f"it was trained on {other}, and the bundle's base is {base.id} (weights {_short(base.sha256)}, revision "
            f"{base.revision})",
            where=str(source),
            remedy="add it to a bundle of its own base"
            + ("" if card else ", or, where only the name differs, use --any-base"),
        )


def _other_base(base: Base, trained: Base) -> str | None:
    """The base that a card names, in words; None where it is the bundle's."""
    if trained.sha256 and base.sha256:
        same = trained.sha256 == base.sha256
    else:
        same = (trained.id, trained.revision) == (base.id, base.revision)
    if same:
        return None
    kind = f"another revision of {base.id}" if trained.id == base.id else trained.id
    return f"{kind} (weights {_short(trained.sha256)}, revision {trained.revision})"


def _other_peft_base(manifest: Manifest, source: Path) -> str | None:
    """The base that PEFT's config names, in words; None where it is the bundle's.

    Weights on this machine are compared by their hash: PEFT records the folder that a base was loaded from, which may
    have any name. Only where they are not here the names are compared.
    """
    base = manifest.base
    config = json.loads((source / PEFT_CONFIG).read_text("utf-8"))
    trained_on, revision = str(config.get("base_model_name_or_path") or ""), config.get("revision")
    found = weights_here(trained_on, revision) if trained_on else None
    if found and base.sha256:
        return None if found == base.sha256 else f"{trained_on} (weights {_short(found)})"
    named = trained_on == base.id or _last(trained_on) == _last(base.id)
    if named and not (revision and base.revision and revision != base.revision):
        return None
    return (trained_on or "a base that its config does not name") + (f" at revision {revision}" if revision else "")


def _last(name: str) -> str:
    return name.rstrip("/").split("/")[-1].lower()


def _short(sha256: str | None) -> str:
    return f"{(sha256 or 'unknown')[:12]}…"


def write_onnx_adapter(arrays: LoraArrays, file: Path) -> None:
    """The adapter as ONNX Runtime's own LoraAdapter and onnxruntime-genai's Adapters read it; rows is 1."""
    from metier.decoding.onnx_runtime import ort

    shaped = {}
    for a in arrays.a:
        shaped[a] = np.ascontiguousarray(arrays.a[a][None])
        shaped[_b_of(a)] = np.ascontiguousarray(arrays.b[a][None])
    adapter = ort.AdapterFormat()
    adapter.set_adapter_version(1)
    adapter.set_model_version(1)
    adapter.set_parameters({name: ort.OrtValue.ortvalue_from_numpy(array) for name, array in shaped.items()})
    adapter.export_adapter(str(file))


def _same(arrays: LoraArrays, file: Path) -> bool:
    from metier.decoding.onnx_runtime import ort

    try:
        found = {k: v.numpy().copy() for k, v in ort.AdapterFormat.read_adapter(str(file)).get_parameters().items()}
    except Exception as error:  # onnxruntime raises its own, unrelated classes
        raise BundleError(f"it cannot be read: {error}", where=str(file), remedy="add it again") from error
    expected = {**arrays.a, **{_b_of(a): b for a, b in arrays.b.items()}}
    return set(found) == set(expected) and all(np.array_equal(found[name][0], expected[name]) for name in expected)


def _b_of(a: str) -> str:
    return a.removesuffix(".A") + ".B"


def _golden(part: Path, manifest: Manifest, card: FineTuneCard | None, source: Path) -> list[Golden]:
    """A few held-out prompts of the adapter's tasks, frozen: tasks that another adapter brought have theirs."""
    file = source / "held_out.jsonl"
    if card is None or not file.is_file():
        return []
    frozen = {golden.task for golden in manifest.golden}
    tasks = {task.name: task for task in card.tasks if task.name not in frozen}
    samples = [s for s in read_samples(file) if s.task in tasks][:PROMPTS]
    tokenizer = ChatTokenizer.load(part)
    return [
        Golden(
            task=s.task,
            input=s.input,
            language=s.language,
            token_ids=tuple(prompt_ids(tokenizer, tasks[s.task], s.input, language=s.language)),
        )
        for s in samples
    ]


def _without(part: Path, manifest: Manifest, name: str) -> Manifest:
    """The manifest without an adapter, its files removed, and prompts of tasks that only it had."""
    removed = f"{FOLDER}/{name}/"
    shutil.rmtree(part / FOLDER / name, ignore_errors=True)
    left = manifest.model_copy(
        update={
            "adapters": tuple(entry for entry in manifest.adapters if entry.name != name),
            "files": {file: entry for file, entry in manifest.files.items() if not file.startswith(removed)},
        }
    )
    tasks = {task.name for task in left.every_task}
    return left.model_copy(update={"golden": tuple(g for g in manifest.golden if g.task in tasks)})


@contextmanager
def edited(bundle: Path) -> Iterator[tuple[Path, Manifest]]:
    """A clone of the bundle to change; it takes the bundle's place when the block ends. One editor at a time."""
    bundle = bundle.expanduser().absolute()
    manifest = read_manifest(bundle)
    with FileLock(bundle.with_name(f".{bundle.name}.lock")):
        manifest = read_manifest(bundle)
        with atomic_folder(bundle, "a bundle", MANIFEST) as part:
            for name in manifest.files:
                (part / name).parent.mkdir(parents=True, exist_ok=True)
                _link(bundle / name, part / name)
            yield part, manifest


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links, or a missing file, which the copy then names
        if not source.is_file():
            raise BundleError(
                "the file is missing", where=str(source), remedy="export or fetch the bundle again"
            ) from None
        shutil.copyfile(source, target)


def write_manifest(part: Path, manifest: Manifest) -> None:
    """Write bundle.json into the folder of a bundle that is being written."""
    (part / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", "utf-8")
