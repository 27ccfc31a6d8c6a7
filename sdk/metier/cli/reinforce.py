"""`metier reinforce`: a fine-tune answers, is rewarded by the trade's checks or a reward model, and learns from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from metier.cli.options import Bad, Columns, DataFile, Json, Settings, pairs, settings_of
from metier.cli.progress import progress
from metier.cli.screen import emit_json, note, say


def reinforce(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Fine-tune to go on from.")],
    out: Annotated[Path, typer.Option("--out", metavar="RUN2", help="Folder of the new fine-tune.")],
    data: DataFile = None,
    samples: Annotated[int | None, typer.Option(min=1, help="Answer this many inputs; all where not given.")] = None,
    columns: Columns = None,
    on_bad: Bad = "raise",
    method: Annotated[
        Literal["ppo", "grpo"], typer.Option(help="ppo learns a value of states; grpo compares answers to one input.")
    ] = "ppo",
    checks: Annotated[float, typer.Option(min=0, help="Weight of the trade's checks; 0 leaves them out.")] = 1.0,
    reward: Annotated[
        Path | None, typer.Option(metavar="REWARD", help="Reward model that `metier reward` wrote.")
    ] = None,
    weight: Annotated[float, typer.Option(help="Weight of the reward model, standardised.")] = 0.2,
    settings: Settings = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Go on from the checkpoint, or start over.")
    ] = True,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    json: Json = False,
) -> None:
    """Align a fine-tune with rewards on its own answers. Without --data, to the inputs that the trade brings along."""
    from metier.align import load_reward, model_reward, rule_reward, weighted
    from metier.align import reinforce as align
    from metier.bases import load_finetune
    from metier.contracts import Grpo, Ppo, UsageError
    from metier.data.training import training_data
    from metier.plugins import load_plugins

    chosen = settings_of(Ppo if method == "ppo" else Grpo, settings)
    begin = load_finetune(run)
    vertical, contract = load_plugins().task(begin.card.tasks[0].name)
    rules = vertical.checks_for(contract.name)
    parts = [(checks, rule_reward(rules))] if checks and rules else []
    with progress(json) as tick:
        if reward is not None:
            tick("loading the reward model")
            parts.append((weight, model_reward(load_reward(reward, device=device))))
        if not parts:
            raise UsageError(
                f"nothing rewards an answer: {vertical.name} has no checks for {contract.name}",
                remedy="give a reward model: --reward REWARD",
            )
        tick("reading samples")
        found = training_data(
            vertical, contract, data, columns=pairs(columns, "--columns"), on_bad=on_bad, samples=samples,
            seed=chosen.seed,
        )  # fmt: skip
        for line in found.remarks:
            note(line)
        tick("loading the policy")
        made = align(
            begin, found.train, weighted(parts), out, chosen,
            resume=resume, device=device,
            progress=lambda update, total: tick(
                "learning from rewards", update.update, total, reward=update.score, kl=update.kl, tokens=update.length
            ),
        )  # fmt: skip
    if json:
        return emit_json(made)
    told = made.card.alignment[-1].figures
    say(f"{made.path}: {method}, reward {told['score_first']:.3f} → {told['score_last']:.3f}")
    say(f"KL to where it began: {told['kl_last']:.2f} nats an answer; look at the answers in {out / 'updates.jsonl'}")
    return say(f"next: metier evaluate {out}, then metier export {out} --out {out}-bundle")
