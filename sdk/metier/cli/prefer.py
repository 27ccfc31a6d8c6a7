"""`metier prefer`: go on from a fine-tune with pairs of a better and a worse answer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from metier.cli.options import Json, Settings, settings_of
from metier.cli.progress import progress, training_tick
from metier.cli.screen import emit_json, say


def prefer(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Fine-tune to go on from.")],
    data: Annotated[Path, typer.Option("--data", metavar="JSONL", help="Preferences, one a line.")],
    out: Annotated[Path, typer.Option("--out", metavar="RUN2", help="Folder of the new fine-tune.")],
    method: Annotated[
        Literal["dpo", "kto"], typer.Option(help="dpo compares the two answers; kto takes each on its own.")
    ] = "dpo",
    judged: Annotated[
        bool, typer.Option("--judged", help="--data holds single answers, accepted or rejected, for kto.")
    ] = False,
    settings: Settings = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Go on from the checkpoint, or start over.")
    ] = True,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    json: Json = False,
) -> None:
    """Align a fine-tune with preferences. The fine-tune itself stays as it is."""
    from metier.align import judge, read_judged, read_preferences
    from metier.align import prefer as align
    from metier.bases import load_finetune
    from metier.contracts import Dpo, Kto, UsageError

    if judged and method != "kto":
        raise UsageError("single answers make no pairs, which dpo learns from", remedy="say --method kto")
    with progress(json) as tick:
        tick("reading preferences")
        same: dict[str, Any] = {"resume": resume, "progress": training_tick(tick), "device": device}
        if judged:
            good, bad = read_judged(data)
            count = len(good) + len(bad)
            made = judge(load_finetune(run), good, bad, out, settings_of(Kto, settings), **same)
        else:
            pairs = read_preferences(data)
            count = len(pairs)
            chosen = settings_of(Dpo if method == "dpo" else Kto, settings)
            made = align(load_finetune(run), pairs, out, chosen, **same)
    if json:
        return emit_json(made)
    learnt = "judged answers" if judged else "preferences"
    say(f"{made.path}: {method}, {count} {learnt}, {made.card.training['seconds']:.0f} s")
    return say(f"next: metier evaluate {out}, then metier export {out} --out {out}-bundle")
