"""Puts heads into a bundle, checks them and takes them away, whole or not at all. Needs no torch: a head's graph was
written when it was trained, and its trunk is there already or comes with another bundle.
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
from metier.export.edit import edited, write_manifest
from metier.runtime.bundle import Bundle, open_bundle, rows_of
from metier.runtime.head_set import HeadSet

FOLDER = "heads"
TRUNKS = "trunks"
GOLDEN = 4
"""Inputs of each head whose tokens and output are frozen into the bundle."""


def add_head(bundle: str | Path, source: str | Path, name: str) -> HeadEntry:
    """Add a head over frozen features to a bundle that has its base as a trunk; one of that name is replaced.

    Args:
        bundle: folder of `metier export`.
        source: folder of `metier adapt` with way head and method features.
        name: what requests may say.

    Raises:
        UsageError: its base learnt with it, or is no trunk of the bundle, or has not the layers that it reads.
        BundleError, DataError: the bundle or the fine-tune is damaged. In all cases the bundle is what it was.
    """
    check_name(name)
    finetune = load_finetune(source, way="head")
    graph = graph_of(finetune)
    with edited(Path(bundle)) as (part, manifest):
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
        DataError: it is missing, or another.
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
    """What a head over frozen features is called in a bundle, and which trunk of it it reads.

    Raises:
        UsageError: as `trunk_for`.
    """
    trunk = trunk_for(manifest, finetune)
    layers = layers_read(finetune.card.recipe, trunk.count)
    return HeadEntry(name=name, path=f"{FOLDER}/{name}", trunk=trunk.name, layers=layers, card=finetune.card)


def trunk_for(manifest: Manifest, finetune: FineTune) -> TrunkEntry:
    """The trunk of a bundle that a head over frozen features can read.

    Raises:
        UsageError: there is none, and why.
    """
    card = finetune.card
    again = "export it, or all heads of the bundle together, with `metier export RUN…`"
    if card.recipe.method != "features":
        raise UsageError(
            f"the base of {card.name} learnt with it ({card.recipe.method}), so that its head reads no other",
            where=str(finetune.path),
            remedy=again,
        )
    known = [trunk for trunk in manifest.trunks if trunk.trained is None]
    for trunk in known:
        if trunk.base.sha256 is None or trunk.base.sha256 != card.base.sha256:
            continue
        if missing := sorted(set(layers_read(card.recipe, trunk.count)) - set(trunk.layers)):
            raise UsageError(
                f"{card.name} reads layers {', '.join(map(str, missing))}, which the bundle's trunk leaves out",
                where=str(finetune.path),
                remedy=again,
            )
        return trunk
    named = ", ".join(f"{trunk.base.id} (weights {(trunk.base.sha256 or 'unknown')[:12]}…)" for trunk in known)
    raise UsageError(
        f"{card.name} was trained on {card.base.id} (weights {(card.base.sha256 or 'unknown')[:12]}…); the bundle's "
        f"frozen trunks are of {named or 'no base'}",
        where=str(finetune.path),
        remedy=again,
    )


def put_head(part: Path, manifest: Manifest, entry: HeadEntry, graph: Path, finetune: FineTune) -> Manifest:
    """Write a head's files into the folder of a bundle that is being made; the manifest with it.

    Raises:
        UsageError: the name is taken.
    """
    write_head_files(part, entry, graph, finetune)
    files = {f"{entry.path}/{file}": found for file, found in entries_of(part / entry.path).items()}
    return _checked(manifest, heads=(*manifest.heads, entry), files={**manifest.files, **files})


def write_head_files(part: Path, entry: HeadEntry, graph: Path, finetune: FineTune) -> None:
    """Put a head's graph in its place; over frozen features also its tensors, which are few, so that torch can prove
    it again."""
    folder = part / entry.path
    folder.mkdir(parents=True)
    shutil.copyfile(graph, folder / HEAD_FILE)
    if entry.card.recipe.method == "features":
        for file in (HEAD, CARD):
            shutil.copyfile(finetune.path / file, folder / file)


def freeze(part: Path, manifest: Manifest, entry: HeadEntry, samples: Sequence[Sample]) -> HeadEntry:
    """The entry with a few inputs, as they are tokenised and answered."""
    heads = HeadSet(Bundle(part, manifest, None, rows_of(part, manifest)), "cpu")
    return entry.model_copy(update={"golden": golden_of(heads, entry, samples)})


def golden_of(heads: HeadSet, entry: HeadEntry, samples: Sequence[Sample]) -> tuple[HeadGolden, ...]:
    """Samples' inputs as they are tokenised and answered."""
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
    """Check a bundle whole, and that each head answers its frozen inputs as it did at export.

    Raises:
        BundleError: something is damaged, or an answer differs.
    """
    opened = open_bundle(bundle)
    if not opened.manifest.heads:
        return []
    heads = HeadSet(opened, "cpu")
    for entry in opened.manifest.heads:
        for number, given in enumerate(entry.golden):
            if heads[entry.name].output(given.input, given.language) != given.output:
                raise BundleError(
                    f"the head {entry.name} answers packaged input {number} otherwise than at export",
                    where=str(bundle),
                    remedy="the installed onnxruntime computes otherwise: export again with it",
                )
    return list(opened.manifest.heads)


def join_heads(bundle: str | Path, other: str | Path) -> None:
    """Put the heads of another bundle, and their trunks, into this one.

    Raises:
        UsageError: a name stands in both. BundleError: one of them is damaged.
    """
    given = open_bundle(other)
    with edited(Path(bundle)) as (part, manifest):
        for path in [e.path for e in given.manifest.trunks] + [e.path for e in given.manifest.heads]:
            shutil.copytree(given.path / path, part / path)
        manifest = _checked(
            manifest,
            trunks=(*manifest.trunks, *given.manifest.trunks),
            heads=(*manifest.heads, *given.manifest.heads),
            files={**manifest.files, **given.manifest.files},
        )
        write_manifest(part, manifest)
        open_bundle(part)


def remove_head(bundle: str | Path, name: str) -> None:
    """Take a head out of a bundle, and the trunk that learnt with it.

    Raises:
        UsageError: it is all that the bundle holds. BundleError: the bundle is damaged.
    """
    with edited(Path(bundle)) as (part, manifest):
        if manifest.graph is None and len(manifest.heads) == 1:
            raise UsageError(
                f"{name} is all that this bundle holds", where=str(bundle), remedy="remove its folder, or add another"
            )
        write_manifest(part, without_head(part, manifest, name))
        open_bundle(part)


def without_head(part: Path, manifest: Manifest, name: str) -> Manifest:
    """The manifest without a head, its files removed; one whose base learnt with it takes its trunk along."""
    gone = {head.path for head in manifest.heads if head.name == name}
    heads = tuple(head for head in manifest.heads if head.name != name)
    read = {head.trunk for head in heads}
    trunks = tuple(trunk for trunk in manifest.trunks if trunk.trained is None or trunk.name in read)
    gone |= {trunk.path for trunk in manifest.trunks if trunk not in trunks}
    for path in gone:
        shutil.rmtree(part / path, ignore_errors=True)
    files = {file: e for file, e in manifest.files.items() if not file.startswith(tuple(f"{path}/" for path in gone))}
    return manifest.model_copy(update={"heads": heads, "trunks": trunks, "files": files})


def _checked(manifest: Manifest, **changed: object) -> Manifest:
    """The manifest with some fields changed, all its rules asked again."""
    try:
        return Manifest.model_validate({**dict(manifest), **changed})
    except ValidationError as error:
        said = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise UsageError(f"the bundle cannot hold both: {said}", remedy="choose another name") from error
