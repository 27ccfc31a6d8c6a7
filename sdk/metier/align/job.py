"""One alignment run: its inputs, the folder that it locks while it runs, and the resulting fine-tune.

It does not know the methods. A process killed at any moment leaves a checkpoint, or the earlier state.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from metier.align.policy_init import Begin, recipe_of, weights_of
from metier.bases.finetune import load_finetune
from metier.bases.resolve import LocalBase
from metier.contracts import AlignmentStep, FineTune, Sample, TaskContract, UsageError
from metier.contracts.alignment import Alignment
from metier.contracts.finetune import CARD
from metier.data.samples_file import samples_in
from metier.training import result
from metier.training.loop import State
from metier.training.resource_errors import clear_errors

CHECKPOINT = "checkpoint"
REWARD_CARD = "reward.json"
_RESULTS = {CARD: "a fine-tune", REWARD_CARD: "a reward model"}
"""What a folder holds, by its card: their weights have the same names, so that one would overwrite the other."""
_LOCK = ".lock"
_RUN = "run"


def digest(*parts: object) -> str:
    """One hash of several things."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()


@dataclass(frozen=True)
class Job:
    """All inputs that the weights of an alignment depend on, and the output folder."""

    out: Path
    begin: Begin
    base: LocalBase
    contracts: Mapping[str, TaskContract]
    settings: Alignment
    data: str
    """Hash of the training data: preferences, or prompts and rewards."""
    count: int
    """Preferences, judged answers, or prompts."""

    @property
    def run(self) -> str:
        """The run's fingerprint: the same run is resumed, another one raises."""
        settings = self.settings.model_dump_json(exclude={"checkpoint_seconds"})
        recipe = recipe_of(self.begin).model_dump_json(exclude={"checkpoint_seconds"})
        tasks = [task.model_dump_json() for task in self.contracts.values()]
        return digest(settings, recipe, *tasks, self.data, weights_of(self.begin), self.base.sha256)

    def finished(self) -> FineTune | None:
        """The fine-tune of this run; None where it has not finished.

        Raises:
            UsageError: the folder holds the result of another run.
        """
        if not (self.out / CARD).is_file():
            return None
        known = load_finetune(self.out)
        if known.card.alignment and known.card.alignment[-1].run == self.run:
            return known
        raise UsageError(
            f"the folder already holds the fine-tune {known.card.name} of another run",
            where=str(self.out),
            remedy="choose another output folder, or start over without resuming to replace it",
        )

    @contextmanager
    def claimed(self, *, resume: bool) -> Iterator[Path]:
        """The checkpoint folder, locked by this process inside the block. See `claimed`."""
        with claimed(self.out, self.run, resume=resume) as folder:
            yield folder

    def finish(
        self,
        adapted: Any,
        state: State,
        *,
        train: Sequence[Sample],
        held_out: Sequence[Sample] = (),
        figures: Mapping[str, float] | None = None,
    ) -> FineTune:
        """Write the fine-tune's folder, its card last, then remove the checkpoints.

        Args:
            adapted: the PEFT model.
            state: of the finished run.
            train: samples to keep with it; an int4 export calibrates on them.
            held_out: held-out samples to keep with it; by default those of the initial fine-tune.
            figures: for the step's entry on the card.
        """
        step = AlignmentStep(
            settings=self.settings,
            began_from=weights_of(self.begin),
            data_sha256=self.data,
            count=self.count,
            run=self.run,
            figures=dict(figures or {}),
        )
        earlier = self.begin.card.alignment if isinstance(self.begin, FineTune) else ()
        card = result.write(
            self.out,
            adapted,
            tasks=list(self.contracts.values()),
            base=self.base.card,
            recipe=recipe_of(self.begin),
            train=train,
            held_out=held_out or _held_out_of(self.begin),
            state=state,
            alignment=(*earlier, step),
        )
        shutil.rmtree(self.out / CHECKPOINT, ignore_errors=True)
        return FineTune(path=self.out, card=card)


@contextmanager
def claimed(out: Path, run: str, *, resume: bool, card: str = CARD) -> Iterator[Path]:
    """The checkpoint folder below `out`, locked by this process inside the block.

    Args:
        out: folder of the result; created if missing.
        run: fingerprint of the run.
        resume: False discards what an earlier run left.
        card: file name of the result's card.

    Raises:
        UsageError: another process trains there, the checkpoints belong to another run, or it holds a result of
            another kind.
        ResourceError: memory or disk ran out inside the block.
    """
    for name, what in _RESULTS.items():
        if name != card and (out / name).is_file():
            raise UsageError(f"the folder holds {what}", where=str(out), remedy="choose another output folder")
    with clear_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(out / _LOCK, timeout=0):
                yield _opened(out / CHECKPOINT, run, card, resume=resume)
                with suppress(OSError):  # Windows cannot delete an open file; a leftover lock file is harmless
                    (out / _LOCK).unlink()
        except Timeout as error:
            raise UsageError(
                "another process is training into this folder", where=str(out), remedy="wait for it, or choose another"
            ) from error


def _opened(folder: Path, run: str, card: str, *, resume: bool) -> Path:
    mark = folder / _RUN
    if not resume:
        (folder.parent / card).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
    elif mark.is_file() and mark.read_text("utf-8") not in ("", run):
        raise UsageError(
            "the folder holds the checkpoint of another run",
            where=str(folder),
            remedy="choose another output folder, or start over without resuming",
        )
    folder.mkdir(exist_ok=True)
    mark.write_text(run, "utf-8")
    return folder


def _held_out_of(begin: Begin) -> list[Sample]:
    return samples_in(begin.path / "held_out.jsonl") if isinstance(begin, FineTune) else []
