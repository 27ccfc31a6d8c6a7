"""One run of training: what it trains on, how, and into which folder. It knows neither models nor methods."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from metier.bases.finetune import load_finetune
from metier.bases.resolve import LocalBase, resolve
from metier.contracts import FineTune, Recipe, Sample, TaskContract, UsageError, samples_sha256
from metier.contracts.finetune import CARD
from metier.training import checkpoint, result
from metier.training.hidden_state_cache import LIMIT
from metier.training.loop import Progress, Watching
from metier.training.resource_errors import clear_errors

_LOCK = ".lock"


@dataclass(frozen=True)
class TrainingRun:
    """The arguments of `metier.adapt.adapt`, which documents them."""

    tasks: dict[str, TaskContract]
    """Contracts by full name."""
    train: Sequence[Sample]
    held_out: Sequence[Sample]
    recipe: Recipe
    out: Path
    base: LocalBase | None = None
    start: FineTune | None = None
    resume: bool = True
    progress: Callable[[Progress], None] | None = None
    device: str = "auto"
    watch: Watching | None = None
    limit: int = LIMIT
    """Bytes on disk for hidden states of frozen layers."""

    @property
    def checkpoints(self) -> Path:
        """The folder of its checkpoint."""
        return self.out / checkpoint.FOLDER

    def local_base(self) -> LocalBase:
        """The base on disk: the given one, or the recipe's."""
        return self.base or resolve(self.recipe.base)

    def fingerprint(self, base: LocalBase) -> str:
        """What makes two runs the same run."""
        hashes = samples_sha256(self.train), samples_sha256(self.held_out)
        start = self.start.card.weights_sha256 if self.start else None
        return result.fingerprint(self.tasks.values(), *hashes, self.recipe, base.card.sha256, start)

    def report(self, event: Progress) -> None:
        """Hand an event to the caller's `progress`."""
        if self.progress:
            self.progress(event)

    def finished(self, fingerprint: str) -> FineTune | None:
        """The fine-tune that this run has written before; None where it has not finished.

        Without `resume`, what the folder holds is removed first.

        Raises:
            UsageError: the folder holds another run's fine-tune.
        """
        if not self.resume:
            checkpoint.remove(self.checkpoints)
            (self.out / CARD).unlink(missing_ok=True)
        if not (self.out / CARD).is_file():
            return None
        finetune = load_finetune(self.out, produces=None)
        card, data = finetune.card, finetune.card.data
        hashes = data.sha256, data.held_out_sha256
        if fingerprint == result.fingerprint(card.tasks, *hashes, card.recipe, card.base.sha256, card.start_sha256):
            return finetune
        raise UsageError(
            f"the folder already holds the fine-tune {card.name}, of another recipe, data or base",
            where=str(self.out),
            remedy="choose another output folder, or start over without resuming to replace it",
        )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder and keep other processes out of it; errors of memory and disk become `ResourceError`.

        Raises:
            UsageError: there are no samples, or another process trains into the folder.
        """
        if not self.train:
            raise UsageError("there are no samples to train on", remedy="give at least one")
        with clear_errors(self.out):
            self.out.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.out / _LOCK, timeout=0)
            try:
                lock.acquire()
            except Timeout as error:
                raise UsageError(
                    "another process is training into this folder",
                    where=str(self.out),
                    remedy="wait for it, or choose another",
                ) from error
            try:
                yield
                with suppress(OSError):  # Windows deletes no open file; a lock file left behind does no harm
                    (self.out / _LOCK).unlink()
            finally:
                lock.release()
