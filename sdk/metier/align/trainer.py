"""transformers' Trainer as TRL's methods use it: arguments, checkpoints by the clock, resuming, progress.

Only this module knows the Trainer's options; it does not know the methods.
"""

from __future__ import annotations

import json
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from metier.align.eval_callback import evaluation_steps
from metier.bases.resolve import LocalBase
from metier.contracts.alignment import Schedule
from metier.training.loop import Progress, State

_STATE = "trainer_state.json"
_SECONDS = "metier.json"
OnProgress = Callable[[Progress], None]


def arguments(kind: Any, settings: Schedule, folder: Path, device: torch.device, **own: Any) -> Any:
    """A TRL config of class `kind` from the settings and the method's `own` arguments; nothing is reported."""
    return kind(
        output_dir=str(folder),
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        max_grad_norm=settings.max_grad_norm,
        seed=settings.seed,
        lr_scheduler_type=own.pop("lr_scheduler_type", "linear"),
        optim="adamw_torch",
        weight_decay=0.0,
        use_cpu=device.type == "cpu",
        bf16=False,  # the base is loaded in the dtype that was chosen; autocast would cast once more
        gradient_checkpointing=False,
        report_to=[],
        save_strategy="no",  # saved by time: see `_save_by_time`
        save_total_limit=2,
        logging_strategy="steps",
        logging_steps=1,
        logging_first_step=True,
        disable_tqdm=True,
        dataloader_pin_memory=False,
        **own,
    )


def train(
    trainer: Any,
    folder: Path,
    every: float,
    progress: OnProgress | None,
    *,
    group_steps: int = 1,
    evaluate: Callable[[], dict[str, float]] | None = None,
) -> State:
    """Run a trainer to its end, from the last complete checkpoint in `folder`.

    Args:
        trainer: TRL's, not yet run.
        folder: of its checkpoints.
        every: seconds between checkpoints.
        progress: called after every step.
        group_steps: steps that belong together; checkpoints are written between such groups only.
        evaluate: measures the present model; called at `evaluation_steps` of those groups, reported with that step.
    """
    from transformers.trainer_callback import PrinterCallback, ProgressCallback

    callback = _save_by_time(every, progress, folder, group_steps, evaluate)
    for unwanted in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(unwanted)
    trainer.add_callback(callback)
    with quiet():
        trainer.train(resume_from_checkpoint=complete_checkpoint(folder))
    state: State = callback.result
    return state


def complete_checkpoint(folder: Path) -> str | None:
    """The latest checkpoint that was written completely: the trainer's state is written last."""
    newest_first = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[-1]), reverse=True)
    for path in newest_first:
        try:
            json.loads((path / _STATE).read_text("utf-8"))
        except (OSError, ValueError):
            continue
        return str(path)
    return None


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the progress bars and advice of libraries off the screen; errors are still shown."""
    before, level = os.environ.get("TQDM_DISABLE"), logging.root.manager.disable
    os.environ["TQDM_DISABLE"] = "1"
    logging.disable(logging.WARNING)
    import datasets

    bars = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
        if not bars:
            datasets.enable_progress_bars()
        if before is None:
            del os.environ["TQDM_DISABLE"]
        else:
            os.environ["TQDM_DISABLE"] = before


def tokenizer_of(base: LocalBase) -> Any:
    """transformers' own tokenizer of a base: TRL needs one for padding."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(base.path, local_files_only=True)


def _save_by_time(
    every: float,
    progress: OnProgress | None,
    folder: Path,
    group_steps: int,
    evaluate: Callable[[], dict[str, float]] | None,
) -> Any:
    from transformers import TrainerCallback

    class SaveByTime(TrainerCallback):
        """Saves by time, reports progress, and keeps the figures for the card."""

        def __init__(self) -> None:
            self.result = State()
            self.saved = self.started = time.monotonic()
            self.before = 0.0
            self.answers: dict[str, float] | None = None

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            file = folder / f"checkpoint-{state.global_step}" / _SECONDS
            if state.global_step and file.is_file():
                self.before = float(json.loads(file.read_text("utf-8"))["seconds"])
            self.saved = self.started = time.monotonic()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
            done, rest = divmod(state.global_step, group_steps)
            due = not rest and done in evaluation_steps(state.max_steps // group_steps)
            self.answers = evaluate() if evaluate and due else None
            now = time.monotonic()
            between = not rest and state.global_step < state.max_steps
            control.should_save = between and now - self.saved >= every
            if control.should_save:
                self.saved = now
            return control

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            seconds = self.before + time.monotonic() - self.started
            (folder / f"checkpoint-{state.global_step}" / _SECONDS).write_text(
                json.dumps({"seconds": seconds}), "utf-8"
            )

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            result, losses = self.result, [e["loss"] for e in state.log_history if "loss" in e]
            result.step, result.losses = state.global_step, losses
            result.seconds = result.step_seconds = self.before + time.monotonic() - self.started
            result.tokens = int((logs or {}).get("num_tokens", result.tokens))
            if progress and logs and "loss" in logs:
                progress(
                    Progress(
                        step=state.global_step,
                        steps=state.max_steps,
                        epoch=float(state.epoch or 0),
                        loss=float(logs["loss"]),
                        learning_rate=float(logs.get("learning_rate", 0)),
                        tokens_per_second=result.tokens / max(result.seconds, 1e-9),
                        seconds=result.seconds,
                        seconds_left=result.seconds / state.global_step * (state.max_steps - state.global_step),
                        answers=self.answers,
                    )
                )

    return SaveByTime()
