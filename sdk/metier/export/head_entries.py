"""Adds heads to a bundle, verifies and removes them, atomically.

Needs no torch: training writes a head's graph, and its trunk is in the bundle or comes with another one.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from metier.bases.checksum import entries_of, sha256_of
from metier.bases.finetune import load_finetune
from metier.contracts import BundleError, DataError, FineTune, Manifest, Sample, UsageError
from metier.contracts.finetune import CARD, HEAD
from metier.contracts.heads import HEAD_FILE, HeadEntry, HeadGolden, TrunkEntry, layers_read
from metier.data.samples_file import samples_in
from metier.decoding.adapter_store import check_name
from metier.export.bundle_edit import edited, free_name, write_manifest
from metier.runtime.bundle import Bundle, open_bundle, rows_of
from metier.runtime.head_set import HeadSet

FOLDER = "heads"
TRUNKS = "trunks"
GOLDEN = 4
"""Inputs of each head whose tokens and output are frozen into the bundle."""


def add_head(bundle: str | Path, source: str | Path, name: str | None = None) -> HeadEntry:
    """Add a head over frozen features to a bundle that has its base as a trunk.

    Args:
        bundle: folder of `metier export`.
        source: folder of `metier adapt` with a head and method features.
        name: by which requests select it; a head of that name is replaced. None takes the name in its card, where the
            bundle has no entry of that name.

    Raises:
        UsageError: its base was trained with it, is no trunk of the bundle, or lacks the layers that it reads; or its
            own name is taken.
        BundleError, DataError: the bundle or the fine-tune is damaged. In all cases the bundle is unchanged.
    """
    finetune = load_finetune(source, produces="head")
    graph = graph_of(finetune)
    with edited(Path(bundle)) as (part, manifest):
        name = name or free_name(manifest, finetune.path)
        check_name(name)
        entry = entry_for(manifest, finetune, name)
        manifest = without_head(part, manifest, name)
        manifest = put_head(part, manifest, entry, graph, finetune)
        frozen = freeze(part, manifest, entry, samples_in(finetune.path / "held_out.jsonl")[:GOLDEN])
        heads = tuple(frozen if head.name == name else head for head in manifest.heads)
        write_manifest(part, manifest.model_copy(update={"heads": heads}))
        open_bundle(part)
    return frozen


def graph_of(finetune: FineTune) -> Path:
    """The file of a head's graph, as training wrote it.

    Raises:
        DataError: it is missing, or not the one in the card.
    """
    graph = finetune.path / HEAD_FILE
    if not graph.is_file() or sha256_of(graph) != finetune.card.graph_sha256:
        raise DataError(
            f"the head's graph, {HEAD_FILE}, is missing or not the one in the card",
            where=str(finetune.path),
            remedy="adapt again, or copy it afresh",
        )
    return graph


def entry_for(manifest: Manifest, finetune: FineTune, name: str) -> HeadEntry:
    """The manifest's entry of a head over frozen features, with the trunk that it reads.

    Raises:
        UsageError: as `trunk_for`.
    """
    trunk = trunk_for(manifest, finetune)
    layers = layers_read(finetune.card.recipe, trunk.count)
    return HeadEntry(name=name, path=f"{FOLDER}/{name}", trunk=trunk.name, layers=layers, card=finetune.card)


def trunk_for(manifest: Manifest, finetune: FineTune) -> TrunkEntry:
    """The trunk of a bundle that a head over frozen features can read.

    Raises:
        UsageError: there is none; the message gives the reason.
    """
    card = finetune.card
    remedy = "export it, or all heads of the bundle together, with `metier export RUN…`"
    if card.recipe.method != "features":
        raise UsageError(
            f"{card.name} was trained together with its base ({card.recipe.method}); its head reads no other base",
            where=str(finetune.path),
            remedy=remedy,
        )
    known = [trunk for trunk in manifest.trunks if trunk.trained is None]
    for trunk in known:
        if trunk.base.sha256 is None or trunk.base.sha256 != card.base.sha256:
            continue
        if missing := sorted(set(layers_read(card.recipe, trunk.count)) - set(trunk.layers)):
            raise UsageError(
                f"{card.name} reads layers {', '.join(map(str, missing))}, which the bundle's trunk leaves out",
                where=str(finetune.path),
                remedy=remedy,
            )
        return trunk
    named = ", ".join(f"{trunk.base.id} (weights {(trunk.base.sha256 or 'unknown')[:12]}…)" for trunk in known)
    raise UsageError(
        f"{card.name} was trained on {card.base.id} (weights {(card.base.sha256 or 'unknown')[:12]}…); the bundle's "
        f"frozen trunks are of {named or 'no base'}",
        where=str(finetune.path),
        remedy=remedy,
    )


def put_head(part: Path, manifest: Manifest, entry: HeadEntry, graph: Path, finetune: FineTune) -> Manifest:
    """Write a head's files into the folder of a bundle that is being written; the manifest with it.

    Raises:
        UsageError: the name is taken.
    """
    write_head_files(part, entry, graph, finetune)
    files = {f"{entry.path}/{file}": found for file, found in entries_of(part / entry.path).items()}
    return _checked(manifest, heads=(*manifest.heads, entry), files={**manifest.files, **files})


def write_head_files(part: Path, entry: HeadEntry, graph: Path, finetune: FineTune) -> None:
    """Write a head's graph; over frozen features also its tensors, which are few, so that torch can prove it again."""
    folder = part / entry.path
    folder.mkdir(parents=True)
    shutil.copyfile(graph, folder / HEAD_FILE)
    if entry.card.recipe.method == "features":
        for file in (HEAD, CARD):
            shutil.copyfile(finetune.path / file, folder / file)


def freeze(part: Path, manifest: Manifest, entry: HeadEntry, samples: Sequence[Sample]) -> HeadEntry:
    """The entry with a few frozen inputs, their token ids and the head's outputs."""
    heads = HeadSet(Bundle(part, manifest, None, rows_of(part, manifest)), "cpu")
    return entry.model_copy(update={"golden": golden_of(heads, entry, samples)})


def golden_of(heads: HeadSet, entry: HeadEntry, samples: Sequence[Sample]) -> tuple[HeadGolden, ...]:
    """Samples' inputs with their token ids and the head's outputs."""
    found = []
    for sample in samples[:GOLDEN]:
        item = heads[entry.name].item(sample.input, sample.language)
        found.append(
            HeadGolden(
                input=sample.input,
                language=sample.language,
                token_ids=tuple(row.ids for row in item.rows),
                output=heads[entry.name].output(sample.input, sample.language),
            )
        )
    return tuple(found)


def verify_heads(bundle: str | Path) -> list[HeadEntry]:
    """Check every file of a bundle, and that each head answers its frozen inputs as it did at export.

    Raises:
        BundleError: something is damaged, or an answer differs.
    """
    opened = open_bundle(bundle)
    if not opened.manifest.heads:
        return []
    heads = HeadSet(opened, "cpu")
    for entry in opened.manifest.heads:
        for number, frozen in enumerate(entry.golden):
            if heads[entry.name].output(frozen.input, frozen.language) != frozen.output:
                raise BundleError(
                    f"the head {entry.name} does not answer packaged input {number} as it did at export",
                    where=str(bundle),
                    remedy="export again with the installed onnxruntime, which computes another result",
                )
    return list(opened.manifest.heads)


def join_heads(bundle: str | Path, other: str | Path) -> None:
    """Put the heads of another bundle, and their trunks, into this one.

    Raises:
        UsageError: both have an entry of one name. BundleError: one of them is damaged.
    """
    source = open_bundle(other)
    with edited(Path(bundle)) as (part, manifest):
        for path in [e.path for e in source.manifest.trunks] + [e.path for e in source.manifest.heads]:
            shutil.copytree(source.path / path, part / path)
        manifest = _checked(
            manifest,
            trunks=(*manifest.trunks, *source.manifest.trunks),
            heads=(*manifest.heads, *source.manifest.heads),
            files={**manifest.files, **source.manifest.files},
        )
        write_manifest(part, manifest)
        open_bundle(part)


def remove_head(bundle: str | Path, name: str) -> None:
    """Remove a head from a bundle, and the trunk that was trained with it.

    Raises:
        UsageError: the bundle contains nothing else. BundleError: the bundle is damaged.
    """
    with edited(Path(bundle)) as (part, manifest):
        if manifest.graph is None and len(manifest.heads) == 1:
            raise UsageError(
                f"this bundle contains only {name}",
                where=str(bundle),
                remedy="delete its folder, or add another head",
            )
        write_manifest(part, without_head(part, manifest, name))
        open_bundle(part)


def without_head(part: Path, manifest: Manifest, name: str) -> Manifest:
    """The manifest without a head, its files removed, and its trunk where that was trained with it."""
    removed = {head.path for head in manifest.heads if head.name == name}
    heads = tuple(head for head in manifest.heads if head.name != name)
    read = {head.trunk for head in heads}
    trunks = tuple(trunk for trunk in manifest.trunks if trunk.trained is None or trunk.name in read)
    removed |= {trunk.path for trunk in manifest.trunks if trunk not in trunks}
    for path in removed:
        shutil.rmtree(part / path, ignore_errors=True)
    files = {
        file: e for file, e in manifest.files.items() if not file.startswith(tuple(f"{path}/" for path in removed))
    }
    return manifest.model_copy(update={"heads": heads, "trunks": trunks, "files": files})


def _checked(manifest: Manifest, **changed: object) -> Manifest:
    """The manifest with some fields changed, validated again."""
    try:
        return Manifest.model_validate({**dict(manifest), **changed})
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise UsageError(f"the bundle cannot contain both: {reason}", remedy="choose another name") from error
