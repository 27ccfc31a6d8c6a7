"""`metier reinforce`: a fine-tune answers, is rewarded by the trade's checks or a reward model, and learns from it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Literal

import typer

from metier.terminal.options import Bad, Columns, DataFile, Json, Settings, Watching, pairs, settings_of, tasks_of
from metier.terminal.progress import progress, rewards_tick
from metier.terminal.screen import emit_json, note, say


def reinforce(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Fine-tune to go on from.")],
    out: Annotated[Path, typer.Option("--out", metavar="RUN2", help="Folder of the new fine-tune.")],
    task: Annotated[
        list[str] | None, typer.Option("--task", help="Learn from inputs of this task only; of all where not given.")
    ] = None,
    data: DataFile = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Answer this many inputs of a task; all where not given.")
    ] = None,
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
    watch: Watching = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    json: Json = False,
) -> None:
    """Align a fine-tune with rewards on its own answers. To inputs that it was trained on, or those of --data.

    Each answer is rewarded by its own task's checks. What the fine-tune is measured on is left out.
    """
    from metier.align import eval_callback_for, load_reward, model_reward, rule_reward, weighted
    from metier.align import reinforce as align
    from metier.bases import load_finetune
    from metier.contracts import Grpo, Ppo, UsageError
    from metier.data import onward_data
    from metier.plugins import load_plugins

    chosen = settings_of(Ppo if method == "ppo" else Grpo, settings)
    begin = load_finetune(run)
    contracts = tasks_of(begin, task)
    vertical, _ = load_plugins().task(contracts[0].name)
    unjudged = [] if reward else [t.name for t in contracts if not (checks and vertical.checks_for(t.name))]
    contracts = [t for t in contracts if t.name not in unjudged]
    if not contracts:
        raise UsageError(
            f"nothing rewards an answer: {vertical.name} has no checks for {', '.join(unjudged)}"
            if checks
            else "nothing rewards an answer: --checks 0 leaves the checks out",
            remedy="give a reward model: --reward REWARD",
        )
    if unjudged:
        note(f"left out, since no check tells their answers apart: {', '.join(unjudged)}")
    names = {t.name for t in contracts}
    rules = [check for check in vertical.checks if names & set(check.tasks)]
    parts = [(checks, rule_reward(rules))] if checks and rules else []
    with progress(json) as tick, ExitStack() as stack:
        if reward is not None:
            tick("loading the reward model")
            parts.append((weight, model_reward(load_reward(reward, device=device))))
        tick("reading samples")
        found = onward_data(
            begin, contracts, vertical, data, columns=pairs(columns, "--columns"), on_bad=on_bad, samples=samples,
            seed=chosen.seed,
        )  # fmt: skip
        for line in found.remarks:
            note(line)
        watching = None
        if watch:
            tick("making the graph that answers while it learns")
            watching = stack.enter_context(eval_callback_for(begin, found.held_out, vertical, watch, contracts))
        tick("loading the policy")
        made = align(
            begin, found.train, weighted(parts), out, chosen,
            held_out=found.held_out, resume=resume, device=device, watch=watching, progress=rewards_tick(tick),
        )  # fmt: skip
    if json:
        return emit_json(made)
    told = made.card.alignment[-1].figures
    say(f"{made.path}: {method}, reward {told['score_first']:.3f} → {told['score_last']:.3f}")
    say(f"KL to where it began: {told['kl_last']:.2f} nats an answer; look at the answers in {out / 'updates.jsonl'}")
    return say(f"next: metier evaluate {out}, then metier export {out} --out {out}-bundle")
