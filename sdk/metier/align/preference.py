"""Alignment with preferences by TRL: DPO from pairs, KTO from single good and bad answers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from metier.align.job import Job, digest
from metier.align.pairs import Pair, chosen_of, encode_pairs, preferences_sha256, rejected_of
from metier.align.policy_init import Begin, base_of, contracts_of, trainable
from metier.align.trainer import OnProgress, arguments, complete_checkpoint, quiet, tokenizer_of, train
from metier.bases.resolve import LocalBase
from metier.contracts import Dpo, FineTune, Kto, Preference, Sample, TaskContract, UsageError, samples_sha256
from metier.decoding.tokenizer import ChatTokenizer
from metier.training import journal
from metier.training.examples import Example, encode_samples
from metier.training.loop import Progress, State, Watching
from metier.training.lora_setup import ADAPTER, training_kernels

_WARM_UP = 0.1
"""Share of the steps over which the learning rate rises."""


def prefer(
    begin: Begin,
    preferences: Sequence[Preference],
    out: str | Path,
    settings: Dpo | Kto | None = None,
    *,
    tasks: Sequence[TaskContract] = (),
    held_out: Sequence[Sample] = (),
    base: LocalBase | None = None,
    resume: bool = True,
    progress: OnProgress | None = None,
    device: str = "auto",
    watch: Watching | None = None,
) -> FineTune:
    """Align with preference pairs; KTO takes each pair as one good and one bad answer.

    The reference policy is the initial fine-tune, frozen, not the base: the pairs compare answers of that model,
    and DPO's objective is derived for it (arXiv 2305.18290, section 4). Its log-probabilities are computed once.

    Args:
        begin: the fine-tune to train further, or a recipe for fresh LoRA weights on its base.
        preferences: pairs to train on.
        out: folder of the new fine-tune; made if missing.
        settings: `Dpo` or `Kto`; None is DPO with its defaults.
        tasks: contracts of the pairs; by default the fine-tune's own.
        held_out: samples to keep with the fine-tune, for export and evaluation; they are not trained on.
        base: a local base; None resolves the one that `begin` names.
        resume: False discards what `out` holds of an earlier run.
        progress: called after every step.
        device: auto, cpu or cuda.
        watch: such as `EvalCallback`: called four times, evenly spaced; its figures are written to log.jsonl and do not
            influence the training.

    Raises:
        UsageError: no preferences, a preference of another task, or `out` belongs to another or a running run.
        DataError: answers that are too long, violate their contract, or are the same.
        BaseError, DeviceError, ResourceError: as `adapt`.
    """
    good, bad = [chosen_of(p) for p in preferences], [rejected_of(p) for p in preferences]
    settings = settings or Dpo()
    if isinstance(settings, Kto):
        same: dict[str, Any] = {"base": base, "resume": resume, "progress": progress, "device": device, "watch": watch}
        return prefer_judged(begin, good, bad, out, settings, tasks=tasks, held_out=held_out, **same)
    if not preferences:
        raise UsageError("there are no preferences to train on", remedy="give at least one")
    base, contracts = base or base_of(begin), contracts_of(begin, tasks)
    job = Job(Path(out), begin, base, contracts, settings, preferences_sha256(preferences), len(preferences))
    if resume and (done := job.finished()):
        return done
    with job.claimed(resume=resume) as folder:
        pairs = encode_pairs(ChatTokenizer.load(base.path), contracts, preferences, settings.max_length)
        adapted = trainable(base, begin, settings, device)
        state = _train(_dpo(adapted, settings, pairs, base, folder), adapted, settings, folder, progress, watch)
        return job.finish(adapted, state, train=good, held_out=held_out)


def prefer_judged(
    begin: Begin,
    good: Sequence[Sample],
    bad: Sequence[Sample],
    out: str | Path,
    settings: Kto | None = None,
    *,
    tasks: Sequence[TaskContract] = (),
    held_out: Sequence[Sample] = (),
    base: LocalBase | None = None,
    resume: bool = True,
    progress: OnProgress | None = None,
    device: str = "auto",
    watch: Watching | None = None,
) -> FineTune:
    """Align with single answers that users judged good or bad (KTO).

    Arguments, reference and errors are those of `prefer`; `good` and `bad` hold the answers as outputs. The rarer kind
    counts more: see `kto_weights`.
    """
    settings = settings or Kto()
    answers = [*good, *bad]
    if len(answers) < 2:
        raise UsageError("there are fewer than two judged answers", remedy="give two or more to KTO")
    base, contracts = base or base_of(begin), contracts_of(begin, tasks)
    data = digest(samples_sha256(good), samples_sha256(bad))
    job = Job(Path(out), begin, base, contracts, settings, data, len(answers))
    if resume and (done := job.finished()):
        return done
    with job.claimed(resume=resume) as folder:
        examples = encode_samples(ChatTokenizer.load(base.path), contracts, answers, settings.max_length)
        adapted = trainable(base, begin, settings, device)
        rows, weights = kto_rows(examples, len(good), settings), kto_weights(len(good), len(bad), settings)
        state = _train(_kto(adapted, settings, weights, rows, base, folder), adapted, settings, folder, progress, watch)
        return job.finish(adapted, state, train=good or bad, held_out=held_out, figures=weights)


def kto_weights(good: int, bad: int, settings: Kto) -> dict[str, float]:
    """`desirable_weight`, `undesirable_weight` and their `balance`, λ_D n_D / λ_U n_U, for the card.

    Of weights that are not set, the more frequent kind's is 1 and the rarer's makes the balance 1, where the paper's
    range of 1 to 4/3 begins (arXiv 2402.01306, section 4.2). Where only one is set, the other one follows it. With one
    kind alone there is nothing to balance.

    Args:
        good: how many good answers there are, n_D.
        bad: how many bad ones, n_U.
        settings: for the weights that are set.
    """
    desirable, undesirable = settings.desirable_weight, settings.undesirable_weight
    if not (good and bad):
        return {"desirable_weight": desirable or 1.0, "undesirable_weight": undesirable or 1.0}
    ratio = bad / good
    if undesirable is None:
        undesirable = max(1.0, 1 / ratio) if desirable is None else desirable / ratio
    if desirable is None:
        desirable = undesirable * ratio
    balance = desirable / undesirable / ratio
    return {"desirable_weight": desirable, "undesirable_weight": undesirable, "balance": balance}


def kto_rows(examples: Sequence[Example], good: int, settings: Kto) -> dict[str, list[Any]]:
    """Rows in a seeded order, each batch with its answers moved on by one, from which KTO estimates the KL.

    TRL keeps the order of KTO's rows, so that good and bad are mixed here.

    Args:
        examples: the good ones first.
        good: their number.
        settings: for seed and batch size.
    """
    order = np.random.default_rng(settings.seed).permutation(len(examples)).tolist()
    replies = [list(examples[i].reply) for i in order]
    moved: list[list[int]] = []
    for start in range(0, len(replies), settings.batch_size):
        batch = replies[start : start + settings.batch_size]
        # A last batch of one would estimate the KL from its own answer: it takes its neighbour's.
        moved += [batch[-1], *batch[:-1]] if len(batch) > 1 else replies[start - 1 : start]
    return {
        "prompt_ids": [list(examples[i].prompt) for i in order],
        "completion_ids": replies,
        "KL_completion_ids": moved,
        "label": [i < good for i in order],
    }


def conservative(wrong: float) -> dict[str, Any]:
    """TRL's arguments for conservative DPO (Mitchell 2023), which assumes that a share `wrong` of the labels is wrong.

    The loss is (1 − ε) L(δ) + ε L(−δ) with L(δ) = −ln σ(βδ). TRL's `sigmoid` is L(δ) whatever the smoothing, and its
    `robust` (arXiv 2403.00409) is ((1 − ε) L(δ) − ε L(−δ)) / (1 − 2ε): their weighted sum is the conservative loss.
    """
    return {
        "label_smoothing": wrong,
        "loss_type": ["sigmoid", "robust"],
        "loss_weights": [2 * (1 - wrong), -(1 - 2 * wrong)],
    }


def _dpo(adapted: Any, settings: Dpo, pairs: Sequence[Pair], base: LocalBase, folder: Path) -> Any:
    from datasets import Dataset
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    class Tokenised(DPOTrainer):
        """DPO on token ids: rendering the text again could give other prompts than the product's."""

        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset

    own: dict[str, Any] = {"beta": settings.beta, "precompute_ref_log_probs": True}
    if settings.label_smoothing:
        own |= conservative(settings.label_smoothing)
    rows = {
        "prompt_ids": [list(p.prompt) for p in pairs],
        "chosen_ids": [list(p.chosen) for p in pairs],
        "rejected_ids": [list(p.rejected) for p in pairs],
    }
    with quiet():
        config = arguments(
            DPOConfig, settings, folder, adapted.device,
            num_train_epochs=settings.epochs, warmup_steps=_WARM_UP, max_length=None, **own,
        )  # fmt: skip
        return Tokenised(
            adapted, args=config, train_dataset=Dataset.from_dict(rows), processing_class=tokenizer_of(base)
        )


def _kto(
    adapted: Any,
    settings: Kto,
    weights: dict[str, float],
    rows: dict[str, list[Any]],
    base: LocalBase,
    folder: Path,
) -> Any:
    from datasets import Dataset
    from trl.trainer.kto_config import KTOConfig
    from trl.trainer.kto_trainer import KTOTrainer

    class Tokenised(KTOTrainer):
        """KTO on token ids."""

        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset

    own = {
        "beta": settings.beta,
        "desirable_weight": weights["desirable_weight"],
        "undesirable_weight": weights["undesirable_weight"],
        "precompute_ref_log_probs": True,
    }
    with quiet():
        config = arguments(
            KTOConfig, settings, folder, adapted.device,
            num_train_epochs=settings.epochs, warmup_steps=_WARM_UP, max_length=None, **own,
        )  # fmt: skip
        return Tokenised(
            adapted, args=config, train_dataset=Dataset.from_dict(rows), processing_class=tokenizer_of(base)
        )


def _train(
    trainer: Any,
    adapted: Any,
    settings: Dpo | Kto,
    folder: Path,
    progress: OnProgress | None,
    watch: Watching | None,
) -> State:
    # TRL has computed the reference log-probabilities: without its frozen copy the kernels fit, and checkpoints hold
    # the policy alone.
    adapted.delete_adapter("ref")
    adapted.set_adapter(ADAPTER)
    adapted.train()
    with training_kernels(adapted):
        if watch is None:
            return train(trainer, folder, settings.checkpoint_seconds, progress)
        out, start = folder.parent, complete_checkpoint(folder)
        journal.keep_until(out, int(start.rpartition("-")[2]) if start else 0)

        def on_step(event: Progress) -> None:
            journal.append(out, event)
            if progress:
                progress(event)

        return train(trainer, folder, settings.checkpoint_seconds, on_step, evaluate=partial(watch, adapted))
