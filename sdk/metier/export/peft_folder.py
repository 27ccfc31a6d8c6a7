"""A folder that PEFT saved without Metier, as a fine-tune that `export` merges: DoRA, output heads and modules_to_save
included. It knows what PEFT writes, and nothing of how the weights were trained."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metier.bases.checksum import sha256_of
from metier.bases.resolve import LocalBase
from metier.contracts import DataError, FineTune, FineTuneCard, Recipe, TaskContract, UsageError, samples_sha256
from metier.contracts.finetune import CARD, PEFT_CONFIG, WEIGHTS, DataSummary
from metier.contracts.recipe import Lora

_MOST_RANK = 256
"""Of `Lora.rank`; the weights keep their own."""


def is_peft_folder(folder: Path) -> bool:
    """Whether PEFT saved an adapter here, and Metier no card."""
    return (folder / PEFT_CONFIG).is_file() and not (folder / CARD).is_file()


def read_peft(folder: Path, base: LocalBase, tasks: Sequence[TaskContract]) -> FineTune:
    """A fine-tune with a card made from PEFT's configuration; nothing is written.

    The card's recipe has rank, alpha, dropout and scaling of the LoRA, and its data summary is empty: PEFT records
    neither the schedule nor the samples.

    Args:
        folder: what `PeftModel.save_pretrained` wrote.
        base: what the adapter was trained on.
        tasks: what it was trained for.

    Raises:
        UsageError: it is no LoRA, or its weights are not in safetensors.
        DataError: its configuration does not parse.
    """
    try:
        config: dict[str, Any] = json.loads((folder / PEFT_CONFIG).read_text("utf-8"))
        lora = Lora(
            rank=min(int(config["r"]), _MOST_RANK),
            alpha=float(config["lora_alpha"]),
            dropout=float(config.get("lora_dropout", 0.0)),
            rslora=bool(config.get("use_rslora", False)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"this is no configuration of a LoRA adapter: {str(error).splitlines()[0]}",
            where=str(folder / PEFT_CONFIG),
            remedy="save the adapter again with PeftModel.save_pretrained",
        ) from error
    if not (folder / WEIGHTS).is_file():
        raise UsageError(
            f"there is no {WEIGHTS}",
            where=str(folder),
            remedy="save the adapter again with save_pretrained(…, safe_serialization=True)",
        )
    nothing = samples_sha256([])
    card = FineTuneCard(
        name=folder.resolve().name,
        tasks=tuple(tasks),
        base=base.card,
        recipe=Recipe(base=base.card.id, lora=lora),
        data=DataSummary(sha256=nothing, samples=0, held_out=0, held_out_sha256=nothing),
        weights_sha256=sha256_of(folder / WEIGHTS),
    )
    return FineTune(path=folder, card=card)
