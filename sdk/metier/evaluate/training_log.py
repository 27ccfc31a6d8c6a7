"""Reads the losses of a training run from the log.jsonl in a fine-tune's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from metier.metrics.results import LossPoint, TrainingLog

LOG = "log.jsonl"


def read_training_log(folder: Path) -> TrainingLog:
    """Losses by step; empty where there is no log. A truncated line is skipped.

    A step that was trained again after a resume counts once, with its last loss.
    """
    file = folder / LOG
    if not file.is_file():
        return TrainingLog()
    train: dict[int, float] = {}
    held_out: dict[int, float] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            event: dict[str, Any] = json.loads(line)
            step = int(event["step"])
        except (ValueError, KeyError, TypeError):
            continue
        for losses, key in ((train, "loss"), (held_out, "held_out_loss")):
            if isinstance(event.get(key), int | float):
                losses[step] = float(event[key])
    return TrainingLog(train=_points(train), held_out=_points(held_out))


def _points(losses: dict[int, float]) -> tuple[LossPoint, ...]:
    return tuple(LossPoint(step=step, loss=loss) for step, loss in sorted(losses.items()))
