"""A reward model: the base with a LoRA and one output, trained by TRL on pairs, and measured on held-out pairs."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metier.align.calibration import pair_figures
from metier.align.job import CHECKPOINT, claimed, digest
from metier.align.job import REWARD_CARD as CARD
from metier.align.pairs import Pair, encode_pairs, preferences_sha256
from metier.align.policy_init import Begin, base_of, contracts_of, weights_of
from metier.align.trainer import OnProgress, arguments, quiet, tokenizer_of, train
from metier.bases.checksum import sha256_of
from metier.bases.finetune import check_is_lora
from metier.bases.hardware import Precision, choose_device, choose_dtype
from metier.bases.quiet import quiet as without_progress_bars
from metier.bases.resolve import LocalBase, resolve
from metier.bases.torch_model import check_fits
from metier.contracts import DataError, FineTune, Preference, RewardModelling, TaskContract, UsageError
from metier.contracts.alignment import RewardCard
from metier.contracts.documents import read_document
from metier.contracts.finetune import PEFT_CONFIG, WEIGHTS
from metier.decoding.tokenizer import ChatTokenizer
from metier.disk import write_atomic
from metier.training.lora_config import lora_config
from metier.training.lora_setup import ADAPTER, training_kernels
from metier.training.result import put_into

_ROWS = 16
"""Answers scored at once: a rollout's batch without a noticeable peak of memory."""


class RewardModel:
    """A trained reward model in memory. Load one with `load_reward`."""

    def __init__(self, model: Any, card: RewardCard, tokenizer: ChatTokenizer) -> None:
        self.card = card
        self._model, self._pad = model.eval(), tokenizer.pad_id

    def score(self, answers: Sequence[Sequence[int]]) -> list[float]:
        """Rewards of the model, not standardised.

        Args:
            answers: token ids of prompt, reply and end token each.
        """
        order = sorted(range(len(answers)), key=lambda i: len(answers[i]))
        rewards = [0.0] * len(answers)
        for start in range(0, len(order), _ROWS):
            part = order[start : start + _ROWS]
            for index, value in zip(part, _rewards(self._model, [answers[i] for i in part], self._pad), strict=True):
                rewards[index] = value
        return rewards

    def standard(self, answers: Sequence[Sequence[int]]) -> list[float]:
        """Rewards with a mean of 0 and a spread of 1 over held-out answers, so that they can be summed with others."""
        return [(value - self.card.mean) / self.card.spread for value in self.score(answers)]


def train_reward(
    begin: Begin,
    preferences: Sequence[Preference],
    held_out: Sequence[Preference],
    out: str | Path,
    settings: RewardModelling | None = None,
    *,
    tasks: Sequence[TaskContract] = (),
    base: LocalBase | None = None,
    resume: bool = True,
    progress: OnProgress | None = None,
    device: str = "auto",
) -> RewardCard:
    """Train a reward model on pairs (arXiv 2203.02155, equation 1) and write it into a folder.

    Args:
        begin: the fine-tune whose LoRA training starts from, as InstructGPT's starts from the SFT model; or a recipe,
            for its base with fresh weights.
        preferences: pairs to train on.
        held_out: pairs to measure it on.
        out: folder; created if missing.
        settings: None takes the defaults.
        tasks: contracts of the pairs; by default the fine-tune's own.
        base: a local base; None resolves the one that `begin` names.
        resume: False discards what `out` holds of an earlier run.
        progress: called after every step.
        device: auto, cpu or cuda.

    Raises:
        UsageError: no pairs to train or measure on, pairs of another task, or `out` belongs to another run.
        DataError, BaseError, DeviceError, ResourceError: as `prefer`.
    """
    settings, out, base = settings or RewardModelling(), Path(out), base or base_of(begin)
    if not preferences or not held_out:
        raise UsageError("a reward model needs pairs to train on and held-out pairs", remedy="give both")
    contracts = contracts_of(begin, tasks)
    data = digest(preferences_sha256(preferences), preferences_sha256(held_out))
    task_texts = [task.model_dump_json() for task in contracts.values()]
    run = digest(
        settings.model_dump_json(exclude={"checkpoint_seconds"}), data, weights_of(begin), base.sha256, *task_texts
    )
    if resume and (out / CARD).is_file():
        if (card := _card(out)).run == run:
            return card
        raise UsageError("the folder already holds another reward model", where=str(out), remedy="choose another")
    with claimed(out, run, resume=resume, card=CARD) as folder:
        (out / CARD).unlink(missing_ok=True)
        tokenizer = ChatTokenizer.load(base.path)
        train_pairs = encode_pairs(tokenizer, contracts, preferences, settings.max_length)
        held_out_pairs = encode_pairs(tokenizer, contracts, held_out, settings.max_length)
        adapted = _trainable(base, begin, settings, tokenizer, device)
        trainer = _trainer(adapted, settings, train_pairs, base, folder)
        adapted.train()
        with training_kernels(adapted):
            state = train(trainer, folder, settings.checkpoint_seconds, progress)
        adapted.eval()
        chosen, rejected = (
            _side_rewards(adapted, held_out_pairs, side, tokenizer.pad_id) for side in ("chosen", "rejected")
        )
        with put_into(out, WEIGHTS, PEFT_CONFIG) as part:
            adapted.save_pretrained(part, safe_serialization=True)
        card = RewardCard(
            tasks=tuple(contracts.values()),
            base=base.card,
            settings=settings,
            began_from=weights_of(begin),
            data_sha256=data,
            count=len(preferences),
            held_out=pair_figures([c - r for c, r in zip(chosen, rejected, strict=True)]),
            mean=float(np.mean([*chosen, *rejected])),
            spread=max(float(np.std([*chosen, *rejected])), 1e-6),
            weights_sha256=sha256_of(out / WEIGHTS),
            run=run,
            training={"seconds": round(state.seconds, 2), "steps": state.step},
        )
        write_atomic(out / CARD, card.model_dump_json(indent=1))  # last: a folder with a card is complete
        shutil.rmtree(out / CHECKPOINT, ignore_errors=True)
        return card


def load_reward(
    path: str | Path, *, base: LocalBase | None = None, device: str = "auto", precision: Precision = "auto"
) -> RewardModel:
    """The reward model in a folder, its weights verified.

    Raises:
        UsageError: the folder holds none. DataError: it is damaged.
    """
    from peft import PeftModel

    path = Path(path)
    card = _card(path)
    if not (path / WEIGHTS).is_file() or sha256_of(path / WEIGHTS) != card.weights_sha256:
        raise DataError(
            "the reward model is damaged: its weights do not match its card", where=str(path), remedy="train it again"
        )
    base = base or resolve(card.base.id, revision=card.base.revision)
    tokenizer, where = ChatTokenizer.load(base.path), choose_device(device)
    dtype = choose_dtype(precision, where)
    model = PeftModel.from_pretrained(_sequence_model(base, tokenizer, dtype).to(where), str(path))
    _exact_score(model)
    return RewardModel(model, card, tokenizer)


def _card(path: Path) -> RewardCard:
    if not (path / CARD).is_file():
        raise UsageError(f"there is no {CARD}", where=str(path), remedy="give the folder of `metier reward`")
    return read_document(RewardCard, path / CARD, remedy="train the reward model again", name="the card")


def _sequence_model(base: LocalBase, tokenizer: ChatTokenizer, dtype: torch.dtype) -> Any:
    """The base with one output instead of its vocabulary, initialised to zero: every answer starts with one reward."""
    from transformers import AutoModelForSequenceClassification

    with without_progress_bars():
        model = AutoModelForSequenceClassification.from_pretrained(
            base.path, num_labels=1, dtype=dtype, local_files_only=True
        )
    model.config.get_text_config().pad_token_id = tokenizer.pad_id
    torch.nn.init.zeros_(model.score.weight)
    return model


def _trainable(base: LocalBase, begin: Begin, settings: RewardModelling, tokenizer: ChatTokenizer, device: str) -> Any:
    from peft import LoraConfig, get_peft_model, set_peft_model_state_dict

    where = choose_device(device)
    model = _sequence_model(base, tokenizer, choose_dtype(settings.precision, where)).to(where)
    own: dict[str, Any] = {"task_type": "SEQ_CLS", "modules_to_save": ["score"]}
    if isinstance(begin, FineTune):
        check_fits(base, begin)
        check_is_lora(begin)
        kept = LoraConfig.from_pretrained(str(begin.path)).to_dict()
        config = LoraConfig(**{**kept, **own, "inference_mode": False})
    else:
        config = lora_config(settings.lora, settings.lora.targets, **own)
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(settings.seed)
        zero = {"base_model.model.score.weight": model.score.weight.detach().clone()}
        adapted = get_peft_model(model, config)
        if isinstance(begin, FineTune):
            from safetensors.torch import load_file

            set_peft_model_state_dict(adapted, load_file(begin.path / WEIGHTS) | zero)
    adapted.peft_config[ADAPTER].base_model_name_or_path = base.card.id
    _exact_score(adapted)
    return adapted


def _exact_score(adapted: Any) -> None:
    """The one output in fp32 over a bf16 trunk: a step of the optimiser is smaller than bf16 can hold."""
    score = adapted.base_model.model.score
    score.float()
    score.register_forward_pre_hook(lambda _, given: (given[0].float(), *given[1:]))


def _trainer(adapted: Any, settings: RewardModelling, pairs: Sequence[Pair], base: LocalBase, folder: Path) -> Any:
    from datasets import Dataset
    from trl.trainer.reward_config import RewardConfig
    from trl.trainer.reward_trainer import RewardTrainer

    rows = {
        "chosen_ids": [[*p.prompt, *p.chosen] for p in pairs],
        "rejected_ids": [[*p.prompt, *p.rejected] for p in pairs],
    }
    with quiet():
        config = arguments(
            RewardConfig, settings, folder, adapted.device,
            num_train_epochs=settings.epochs, warmup_steps=0.1, max_length=None,
            center_rewards_coefficient=settings.center,
        )  # fmt: skip
        return RewardTrainer(
            adapted, args=config, train_dataset=Dataset.from_dict(rows), processing_class=tokenizer_of(base)
        )


def _rewards(model: Any, answers: Sequence[Sequence[int]], pad: int) -> list[float]:
    longest = max(map(len, answers))
    ids = torch.full((len(answers), longest), pad)
    mask = torch.zeros_like(ids)
    for row, answer in enumerate(answers):
        ids[row, : len(answer)] = torch.tensor(list(answer))
        mask[row, : len(answer)] = 1
    with torch.inference_mode():
        out = model(input_ids=ids.to(model.device), attention_mask=mask.to(model.device)).logits  # [rows, 1]
    return [float(value) for value in out[:, 0].float()]


def _side_rewards(model: Any, pairs: Sequence[Pair], side: str, pad: int) -> list[float]:
    answers = [[*p.prompt, *getattr(p, side)] for p in pairs]
    return [v for i in range(0, len(answers), _ROWS) for v in _rewards(model, answers[i : i + _ROWS], pad)]
