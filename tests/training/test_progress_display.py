"""The progress bar shows what a person waits for: loss, speed, how far."""

import io

from rich.console import Console

from metier.training import Progress, progress_bar


def test_the_bar_shows_step_loss_held_out_loss_and_speed() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=150)
    with progress_bar(console) as show:
        show(Progress(1, 8, 0.25, 2.3456, 1e-3, 812.4, 1.0, 7.0))
        show(Progress(2, 8, 0.5, 1.9876, 1e-3, 840.0, 2.0, 6.0, held_out_loss=2.125))
        show(Progress(3, 8, 0.75, 1.5, 1e-3, 850.0, 3.0, 5.0))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    for words in ("step 3/8", "loss 1.500", "held-out 2.125", "850 tokens/s"):
        assert words in shown
