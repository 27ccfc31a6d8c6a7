"""`metier reward`: train a reward model on preferences, and measure it on held-out ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metier.terminal.options import Json, Settings, settings_of
from metier.terminal.progress import progress, training_tick
from metier.terminal.screen import emit_json, note, say


def reward(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Fine-tune to start from.")],
    data: Annotated[Path, typer.Option("--data", metavar="JSONL", help="Preferences, one a line.")],
    out: Annotated[Path, typer.Option("--out", metavar="REWARD", help="Folder of the reward model.")],
    held_out: Annotated[float, typer.Option(min=0.01, max=0.9, help="Share of the inputs to measure it on.")] = 0.2,
    settings: Settings = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Resume from the checkpoint, or start over.")
    ] = True,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    json: Json = False,
) -> None:
    """Train a reward model on preferences, and measure it.

    Preferences that resemble the fine-tune's held-out samples are left out: its rewards would reveal them.
    """
    from metier.align import read_preferences, split_pairs, train_reward, without_held_out
    from metier.bases import load_finetune
    from metier.contracts import RewardModelling
    from metier.data import held_out_data
    from metier.plugins import load_plugins

    chosen = settings_of(RewardModelling, settings)
    with progress(json) as tick:
        tick("reading preferences")
        read, begin = read_preferences(data), load_finetune(run)
        kept = without_held_out(read, held_out_data(begin, load_plugins().verticals.get(begin.card.tasks[0].vertical)))
        if left_out := len(read) - len(kept):
            note(f"{left_out} of {len(read)} left out: they resemble held-out samples of {run}")
        train, measured_on = split_pairs(kept, held_out, chosen.seed)
        card = train_reward(
            begin, train, measured_on, out, chosen, resume=resume, progress=training_tick(tick), device=device
        )
    if json:
        return emit_json(card)
    figures = card.held_out
    say(f"{out}: {card.count} preferences, {card.training['seconds']:.0f} s")
    return say(
        f"on {figures.pairs} held-out preferences: accuracy {figures.accuracy:.1%}, calibration error"
        f" {figures.ece:.3f}, Brier score {figures.brier:.3f}"
    )
