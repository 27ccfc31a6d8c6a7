"""The fine-tune folder: weights as PEFT writes them, and the card that describes them."""

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from metier.bases.checksum import sha256_of
from metier.bases.finetune import write_card
from metier.contracts import (
    AlignmentStep,
    Base,
    DataSummary,
    FineTuneCard,
    Recipe,
    Sample,
    TaskContract,
    samples_sha256,
)
from metier.contracts.finetune import OWN_WEIGHTS, PEFT_CONFIG, WEIGHTS
from metier.data.samples_file import write_samples
from metier.disk import put
from metier.training.loop import State
from metier.training.recipe_file import write_recipe

_LIBRARIES = ("torch", "transformers", "peft", "tokenizers", "safetensors")
_PART = ".part"


def fingerprint(
    tasks: Iterable[TaskContract],
    train_sha256: str,
    held_out_sha256: str,
    recipe: Recipe,
    base_sha256: str | None,
    start_sha256: str | None,
) -> str:
    """What makes two runs the same run: all that the trained weights depend on."""
    parts = [
        *(task.model_dump_json() for task in tasks),
        train_sha256,
        held_out_sha256,
        recipe.model_dump_json(exclude={"checkpoint_seconds"}),
        str(base_sha256),
        *([start_sha256] if start_sha256 else []),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def write(
    out: Path,
    adapted: Any,
    *,
    tasks: Sequence[TaskContract],
    base: Base,
    recipe: Recipe,
    train: Sequence[Sample],
    held_out: Sequence[Sample],
    state: State,
    alignment: Sequence[AlignmentStep] = (),
    start: str | None = None,
) -> FineTuneCard:
    """Write weights, then the recipe and samples, and the card last: a folder with a card is complete."""
    full = recipe.method == "full"
    weights = OWN_WEIGHTS if full else WEIGHTS
    with put_into(out, *((weights,) if full else (weights, PEFT_CONFIG))) as part:
        if full:
            _save_own(adapted, part / weights)
        else:
            adapted.save_pretrained(part, safe_serialization=True)
        _halve(part / weights)
    write_recipe(out / "recipe.yaml", recipe)
    write_samples(out / "train.jsonl", train)
    write_samples(out / "held_out.jsonl", held_out)
    card = FineTuneCard(
        name=out.resolve().name,
        tasks=tuple(tasks),
        base=base,
        recipe=recipe,
        data=summary(train, held_out),
        weights_sha256=sha256_of(out / weights),
        versions={name: version(name) for name in _LIBRARIES},
        training=_figures(state),
        start_sha256=start,
        alignment=tuple(alignment),
        created=datetime.now(UTC).replace(microsecond=0),
    )
    write_card(out, card)
    return card


@contextmanager
def put_into(out: Path, *names: str) -> Iterator[Path]:
    """A folder to save weights in; when the block ends, its files `names` are in `out`, each of them complete."""
    part = out / _PART
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    yield part
    for name in names:
        (part / name).chmod(0o644)  # safetensors writes 0600, which other users could not read
        put(part / name, out / name)
    shutil.rmtree(part)


def _save_own(model: Any, path: Path) -> None:
    """The trained weights of the base, by its names; of tied ones the first."""
    from safetensors.torch import save_file

    trained = {name: weight.detach().cpu() for name, weight in model.named_parameters() if weight.requires_grad}
    save_file(trained, path, metadata={"format": "pt"})


def _halve(weights: Path) -> None:
    """Store fp16 instead of the fp32 masters: half the megabytes per trade. Its rounding (2^-11) is finer than that of
    the bf16 products they were trained through; weights that fp16 cannot hold are not converted."""
    from safetensors.torch import load_file, save_file

    full = load_file(weights)
    half = {name: tensor.half() for name, tensor in full.items()}
    if all(tensor.isfinite().all() for tensor in half.values()):
        save_file(half, weights, metadata={"format": "pt"})


def summary(train: Sequence[Sample], held_out: Sequence[Sample]) -> DataSummary:
    """Hashes, counts, sources and licences of the data."""
    origins = [sample.provenance for sample in train if sample.provenance]
    return DataSummary(
        sha256=samples_sha256(train),
        samples=len(train),
        held_out=len(held_out),
        held_out_sha256=samples_sha256(held_out),
        sources=tuple(sorted({Path(o.source).name for o in origins})),
        licences=tuple(sorted({o.licence for o in origins if o.licence})),
    )


def _figures(state: State) -> dict[str, float]:
    recent = state.losses[-max(1, len(state.losses) // 10) :]
    figures: dict[str, float] = {
        "seconds": round(state.seconds, 2),
        "steps": state.step,
        "tokens": state.tokens,
        "step_seconds": round(state.step_seconds, 2),
        "tokens_per_second": round(state.tokens / state.step_seconds, 1),
        "train_loss": sum(recent) / len(recent),
    }
    if state.cached_bytes:
        figures |= {"begin_seconds": round(state.begin_seconds, 2), "cached_bytes": state.cached_bytes}
    if state.best_loss is not None and state.best_step is not None:
        figures |= {"held_out_loss": state.best_loss, "best_step": state.best_step}
    return figures
