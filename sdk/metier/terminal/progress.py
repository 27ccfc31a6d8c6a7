"""Progress output: a bar on a terminal, a plain line at intervals elsewhere. On stderr, always.

Rooms report through a callback `(what, done, total, **figures)`; none of them depends on how it is shown.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from metier.terminal.screen import note

if TYPE_CHECKING:
    from metier.align.updates import Update
    from metier.training import Progress

QUIET_SECONDS = 2.0
"""A job shorter than this shows nothing."""
LINE_SECONDS = 15.0
"""Where stderr is not a terminal: one line per stage, then one each this often."""
_FIGURES = 2
"""Only the first evaluated figures are shown beside the bar; the run's log has them all."""


class Tick(Protocol):
    """A callback that reports the progress of a job."""

    def __call__(self, what: str, done: float = 0, total: float | None = None, **figures: float) -> None:
        """
        Args:
            what: the stage, in words.
            done: units done of it.
            total: units in all; None where unknown.
            figures: more to show beside the bar, such as `loss`.
        """
        ...


@contextmanager
def progress(plain: bool = False) -> Iterator[Tick]:
    """A `Tick` that draws.

    Args:
        plain: lines instead of a bar although stderr is a terminal (with `--json`).
    """
    if plain or not sys.stderr.isatty():
        yield _Lines()
        return
    with _bars() as bars:
        yield _Bar(bars)


class _Lines:
    def __init__(self) -> None:
        self.begun = self.last = time.monotonic()
        self.stage: str | None = None

    def __call__(self, what: str, done: float = 0, total: float | None = None, **figures: float) -> None:
        now = time.monotonic()
        new = what != self.stage and self.stage is not None
        self.stage = what
        if now - self.begun < QUIET_SECONDS or (not new and now - self.last < LINE_SECONDS):
            return
        self.last = now
        share = f" {done:g}/{total:g}" if total else ""
        note(f"{what}{share}{_figures_text(figures)}")


class _Bar:
    def __init__(self, bars: Any) -> None:
        self.bars = bars
        self.stage: str | None = None
        self.row: Any = None

    def __call__(self, what: str, done: float = 0, total: float | None = None, **figures: float) -> None:
        if what != self.stage:
            if self.row is not None:
                self.bars.stop_task(self.row)
            self.stage, self.row = what, self.bars.add_task(what, total=total, figures="")
        self.bars.update(self.row, completed=done, total=total, figures=_figures_text(figures))


def _figures_text(figures: dict[str, float]) -> str:
    return "".join(f"  {name.replace('_', ' ')} {value:.4g}" for name, value in figures.items())


def _bars() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
        console=Console(stderr=True),
    )


def training_tick(tick: Tick) -> Callable[[Progress], None]:
    """What `adapt` calls after each step, as ticks with loss and speed."""
    held_out: dict[str, float] = {}

    def show(event: Progress) -> None:
        if event.held_out_loss is not None:
            held_out["held_out_loss"] = event.held_out_loss
        held_out.update(list((event.answers or {}).items())[:_FIGURES])
        tick("adapting", event.step, event.steps, loss=event.loss, **held_out, tokens_per_s=event.tokens_per_second)

    return show


def rewards_tick(tick: Tick) -> Callable[[Update, int], None]:
    """What `reinforce` calls after each update, as ticks with reward, KL and length."""
    watched: dict[str, float] = {}

    def show(update: Update, total: int) -> None:
        watched.update(list((update.watched or {}).items())[:_FIGURES])
        figures = {"reward": update.score, "kl": update.kl, "tokens": update.length, **watched}
        tick("learning from rewards", update.update, total, **figures)

    return show
