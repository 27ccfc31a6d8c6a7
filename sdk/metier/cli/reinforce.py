"""`metier reinforce`: align a fine-tune with rewards of its own answers, from checks or a reward model."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Literal

import typer

from metier.terminal.options import Bad, Columns, DataFile, Json, Settings, Watching, pairs, settings_of, tasks_of
from metier.terminal.progress import progress, rewards_tick
from metier.terminal.screen import emit_json, note, say


def reinforce(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Fine-tune to align.")],
    out: Annotated[Path, typer.Option("--out", metavar="RUN2", help="Folder of the new fine-tune.")],
    task: Annotated[
        list[str] | None, typer.Option("--task", help="Use inputs of this task only; by default of all.")
    ] = None,
    data: DataFile = None,
    samples: Annotated[int | None, typer.Option(min=1, help="Number of inputs of a task; by default all.")] = None,
    columns: Columns = None,
    on_bad: Bad = "raise",
    method: Annotated[
        Literal["ppo", "grpo"], typer.Option(help="ppo trains a value function; grpo compares answers to one input.")
    ] = "ppo",
    checks: Annotated[float, typer.Option(min=0, help="Weight of the trade's checks; 0 leaves them out.")] = 1.0,
    reward: Annotated[Path | None, typer.Option(metavar="REWARD", help="Reward model of `metier reward`.")] = None,
    weight: Annotated[float, typer.Option(help="Weight of the reward model, standardised.")] = 0.2,
    settings: Settings = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Resume from the checkpoint, or start over.")
    ] = True,
    watch: Watching = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    json: Json = False,
) -> None:
    """Align a fine-tune with rewards of its own answers.

    It answers its training inputs, or those of --data. The checks of a task reward its answers. Inputs that resemble
    held-out samples are left out.
    """
    from metier.align import eval_callback_for, load_reward, model_reward, rule_reward, weighted
    from metier.align import reinforce as align
    from metier.bases import load_finetune
    from metier.contracts import Grpo, Ppo, UsageError
    from metier.data import continuation_data
    from metier.plugins import load_plugins

    chosen = settings_of(Ppo if method == "ppo" else Grpo, settings)
    begin = load_finetune(run)
    contracts = tasks_of(begin, task)
    vertical, _ = load_plugins().task(contracts[0].name)
    unjudged = [] if reward else [t.name for t in contracts if not (checks and vertical.checks_for(t.name))]
    contracts = [t for t in contracts if t.name not in unjudged]
    if not contracts:
        raise UsageError(
            f"there is no reward: {vertical.name} has no checks for {', '.join(unjudged)}"
            if checks
            else "there is no reward: --checks 0 switches the checks off",
            remedy="give a reward model: --reward REWARD",
        )
    if unjudged:
        note(f"left out, since no check rewards their answers: {', '.join(unjudged)}")
    names = {t.name for t in contracts}
    rules = [check for check in vertical.checks if names & set(check.tasks)]
    parts = [(checks, rule_reward(rules))] if checks and rules else []
    with progress(json) as tick, ExitStack() as stack:
        if reward is not None:
            tick("loading the reward model")
            parts.append((weight, model_reward(load_reward(reward, device=device))))
        tick("reading samples")
        found = continuation_data(
            begin, contracts, vertical, data, columns=pairs(columns, "--columns"), on_bad=on_bad, samples=samples,
            seed=chosen.seed,
        )  # fmt: skip
        for line in found.remarks:
            note(line)
        watching = None
        if watch:
            tick("exporting the graph for --watch")
            watching = stack.enter_context(eval_callback_for(begin, found.held_out, vertical, watch, contracts))
        tick("loading the policy")
        aligned = align(
            begin, found.train, weighted(parts), out, chosen,
            held_out=found.held_out, resume=resume, device=device, watch=watching, progress=rewards_tick(tick),
        )  # fmt: skip
    if json:
        return emit_json(aligned)
    figures = aligned.card.alignment[-1].figures
    say(f"{aligned.path}: {method}, reward {figures['score_first']:.3f} → {figures['score_last']:.3f}")
    say(
        f"KL to the initial policy: {figures['kl_last']:.2f} nats an answer; the answers are in {out / 'updates.jsonl'}"
    )
    return say(f"next: metier evaluate {out}, then metier export {out} --out {out}-bundle")
