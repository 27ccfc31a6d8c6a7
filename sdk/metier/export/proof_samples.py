"""The samples that an export needs: those that prove parity, those that calibrate 4-bit codes, and their token ids."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Literal

from metier.contracts import ExportError, FineTune, Sample, TaskContract
from metier.contracts.bundle import Golden
from metier.data.samples_file import samples_in
from metier.data.training import packaged
from metier.decoding.tokenizer import ChatTokenizer
from metier.export.parity import Texts
from metier.plugins.registry import load_plugins
from metier.prompting.prompt import prompt_ids
from metier.prompting.reply import encode_reply

PROOF = 8
"""Samples that parity is proved on, and whose prompts are frozen: some 300 reply tokens, a few seconds."""

CALIBRATION = 256
"""Training samples that 4-bit codes are calibrated on, at most. E2E, 240 samples, torch's fine-tune at BLEU 63.0: codes
from 64 samples gave 58.7, from all 240 63.5, for 40 s and about 100 s of export on two cores."""


def proof_of(finetune: FineTune, samples: Sequence[Sample] | None) -> list[Sample]:
    """At most `PROOF` samples, the tasks taking turns: those given, else held-out ones, else training samples.

    Raises:
        ExportError: there is none.
    """
    found = list(samples) if samples is not None else samples_of(finetune, "held_out") or samples_of(finetune, "train")
    by_task = [[sample for sample in found if sample.task == task.name] for task in finetune.card.tasks]
    found = [sample for group in zip_longest(*by_task) for sample in group if sample][:PROOF]
    if not found:
        raise ExportError(
            "there is no sample to prove the graph on",
            where=str(finetune.path),
            remedy=f"pass a few samples of {', '.join(task.name for task in finetune.card.tasks)}",
        )
    return found


def calibration_of(finetune: FineTune, proof: list[Sample]) -> list[Sample]:
    """Training samples, so that parity is proved on others than those that the codes were fitted to."""
    names = {task.name for task in finetune.card.tasks}
    samples = [sample for sample in samples_of(finetune, "train") if sample.task in names]
    return samples[:: max(1, len(samples) // CALIBRATION)][:CALIBRATION] or proof


def samples_of(finetune: FineTune, part: Literal["train", "held_out"]) -> list[Sample]:
    """The samples that the fine-tune's folder holds, else those that its trade packages."""
    if found := samples_in(finetune.path / f"{part}.jsonl"):
        return found
    verticals = load_plugins().verticals
    return [
        sample
        for task in finetune.card.tasks
        if (vertical := verticals.get(task.vertical)) is not None and task.name in vertical.samples
        for sample in packaged(vertical, vertical.task(task.name), part)
    ]


def texts_of(tokenizer: ChatTokenizer, tasks: dict[str, TaskContract], samples: Sequence[Sample]) -> Texts:
    """Prompt and reply ids of samples."""
    return [
        (
            prompt_ids(tokenizer, tasks[s.task], s.input, language=s.language),
            tokenizer.encode(encode_reply(tasks[s.task], s.output)),
        )
        for s in samples
    ]


def golden_of(tokenizer: ChatTokenizer, tasks: dict[str, TaskContract], sample: Sample) -> Golden:
    """A sample's prompt, frozen."""
    ids = prompt_ids(tokenizer, tasks[sample.task], sample.input, language=sample.language)
    return Golden(task=sample.task, input=sample.input, language=sample.language, token_ids=tuple(ids))
