"""Writes an evaluation's figures into the fine-tune's card, which stays with the weights."""

from __future__ import annotations

from metier.bases.finetune import write_card
from metier.contracts import FineTune
from metier.metrics.results import Evaluation


def record_metrics(finetune: FineTune, evaluation: Evaluation) -> FineTune:
    """The fine-tune with `metrics[task]` set to the evaluation's summary, card.json replaced atomically."""
    metrics = {**finetune.card.metrics, evaluation.task: evaluation.summary()}
    card = finetune.card.model_copy(update={"metrics": metrics})
    write_card(finetune.path, card)
    return finetune.model_copy(update={"card": card})
