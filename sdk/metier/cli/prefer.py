"""`metier prefer`: align a fine-tune with preferences or judged answers."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from metier.terminal.options import Json, Settings, Watching, settings_of
from metier.terminal.progress import progress, training_tick
from metier.terminal.screen import emit_json, note, say


def prefer(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Fine-tune to align.")],
    data: Annotated[Path, typer.Option("--data", metavar="JSONL", help="Preferences, one a line.")],
    out: Annotated[Path, typer.Option("--out", metavar="RUN2", help="Folder of the new fine-tune.")],
    method: Annotated[
        Literal["dpo", "kto"], typer.Option(help="dpo compares the two answers of a pair; kto uses each alone.")
    ] = "dpo",
    judged: Annotated[
        bool, typer.Option("--judged", help="--data holds single answers, good or bad, for kto.")
    ] = False,
    settings: Settings = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Resume from the checkpoint, or start over.")
    ] = True,
    watch: Watching = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    json: Json = False,
) -> None:
    """Align a fine-tune with preferences, into a new folder. Those that resemble held-out samples are left out."""
    from metier.align import eval_callback_for, prefer_judged, read_judged, read_preferences, without_held_out
    from metier.align import prefer as align
    from metier.bases import load_finetune
    from metier.contracts import Dpo, Kto, UsageError
    from metier.data import held_out_data, without_leaks
    from metier.plugins import load_plugins

    if judged and method != "kto":
        raise UsageError("dpo needs pairs, and --judged gives single answers", remedy="add --method kto")
    chosen = settings_of(Dpo if method == "dpo" else Kto, settings)
    with progress(json) as tick, ExitStack() as stack:
        tick("reading preferences")
        begin = load_finetune(run)
        vertical = load_plugins().verticals.get(begin.card.tasks[0].vertical)
        held_out = held_out_data(begin, vertical)
        if judged:
            read: tuple[list[Any], ...] = read_judged(data)
            kept = tuple(without_leaks(answers, held_out) for answers in read)
        else:
            read = (read_preferences(data),)
            kept = (without_held_out(read[0], held_out),)
        count = sum(map(len, kept))
        if left_out := sum(map(len, read)) - count:
            note(f"{left_out} of {left_out + count} left out: they resemble held-out samples of {run}")
        same: dict[str, Any] = {
            "resume": resume,
            "progress": training_tick(tick),
            "device": device,
            "held_out": held_out,
        }
        if watch:
            tick("exporting the graph for --watch")
            same["watch"] = stack.enter_context(eval_callback_for(begin, held_out, vertical, watch))
        aligned = (prefer_judged if judged else align)(begin, *kept, out, chosen, **same)
    if json:
        return emit_json(aligned)
    rows = "judged answers" if judged else "preferences"
    say(f"{aligned.path}: {method}, {count} {rows}, {aligned.card.training['seconds']:.0f} s")
    weights = aligned.card.alignment[-1].figures
    if "balance" in weights:
        good, bad, balance = (weights[name] for name in ("desirable_weight", "undesirable_weight", "balance"))
        say(
            f"weight of a good answer {good:.3g}, of a bad one {bad:.3g};"
            f" total good to bad {balance:.2f}, best 1 to 1.33"
        )
    return say(f"next: metier evaluate {out}, then metier export {out} --out {out}-bundle")
