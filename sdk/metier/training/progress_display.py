"""A rich progress bar over training: loss, tokens per second, time left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from metier.training.progress import Progress


@contextmanager
def progress_bar(console: Console | None = None) -> Iterator[Callable[[Progress], None]]:
    """A callback for `adapt(progress=...)` that draws on `console` (stderr by default) while the block runs."""
    columns = (
        TextColumn("adapting"),
        BarColumn(),
        TextColumn("step {task.completed:.0f}/{task.total:.0f}"),
        TextColumn("loss {task.fields[loss]}"),
        TextColumn("held-out {task.fields[held_out]}"),
        TextColumn("{task.fields[speed]} tokens/s"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console or Console(stderr=True)) as bar:
        line = bar.add_task("adapting", total=1, loss="-", held_out="-", speed="-", start=False)
        begun = False

        def show(event: Progress) -> None:
            nonlocal begun
            if not begun:
                bar.start_task(line)
                begun = True
            figures = {"loss": f"{event.loss:.3f}", "speed": f"{event.tokens_per_second:.0f}"}
            if event.held_out_loss is not None:
                figures["held_out"] = f"{event.held_out_loss:.3f}"
            bar.update(line, total=event.steps, completed=event.step, **figures)  # type: ignore[arg-type]

        yield show
