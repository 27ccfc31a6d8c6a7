"""From samples to preferences and rewards on adcopy.describe: what each method gains, what it costs, and whether it
games the reward.

    python tests/benchmarks/reward.py [OUT] [--stages dpo kto …] [--inputs held_out] [--json]

`base` and `sft`, the fine-tune that the plugin packages, are where the others begin: `dpo` learns from simulated pairs
of a better and a worse answer, `kto` from the same answers unpaired, `grpo` and `ppo` from their own answers, as many
each, by the checks (weight 1) and a reward model of the same pairs (weight 0.2, standardised). A stage is its name, or
its name with other settings, as `dpo:beta=0.3,epochs=1`: so defaults are chosen, `--inputs train`, without a look at
what is held out. What a stage builds on is in `reward_ground.py`, what is measured in `reward_measures.py`.

Every stage leaves its result in OUT and is not run twice; a killed stage resumes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from reward_ground import MOST_TOKENS, Ground, ground, key, say
from reward_measures import DRAWN, interval, judged, measure
from slot_bundles import machine

from metier.contracts import Dpo, FineTune, Grpo, Kto, Ppo

STAGES: dict[str, Dpo | Kto | Grpo | Ppo | None] = {
    "base": None,
    "sft": None,
    "dpo": Dpo(),
    "kto": Kto(),
    "grpo": Grpo(updates=16, max_tokens=MOST_TOKENS),
    "ppo": Ppo(updates=16, max_tokens=MOST_TOKENS),
}
"""Default settings; methods that draw their own answers run few updates, enough to show their effect."""
JUDGED = 0.2
"""Weight of the reward model beside the checks."""


def main() -> None:
    """Run the stages that are missing; print the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, nargs="?", default=Path("runs/reward"))
    parser.add_argument("--stages", nargs="+", default=list(STAGES))
    parser.add_argument("--inputs", choices=("held_out", "train"), default="held_out")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    setup = ground(options.out)
    stages: dict[str, Any] = {}
    for name in dict.fromkeys(["sft", *options.stages]):
        stages[name] = stage(setup, options.out, name, options.inputs)
    before = {kind: stages["sft"][kind]["rewards"] for kind in ("drawn", "greedy")}
    for name in stages.keys() - {"base", "sft"}:
        stages[name]["gain"] = {kind: interval(stages[name][kind]["rewards"], before[kind]) for kind in before}
    report = report_of(setup, {name: stages[name] for name in options.stages}, options.inputs)
    if options.json:
        return print(json.dumps(report, ensure_ascii=False, indent=1))
    return show(report)


def stage(setup: Ground, out: Path, spec: str, on: str) -> dict[str, Any]:
    """A stage's figures: from its file, or of the policy that it trains."""
    file = out / f"{spec}.{on}.json"
    if not file.exists():
        settings = settings_of(spec)
        tuned = learn(setup, out / spec, settings) if settings else None
        say(f"measuring {spec}")
        found = measure(setup, tuned or (setup.sft if spec == "sft" else None), on)
        if settings and tuned:
            found["settings"] = settings.model_dump(exclude={"checkpoint_seconds", "schema_version"})
            found["seconds"] = tuned.card.training["seconds"]
            found["updates"] = rounds(tuned)
        file.write_text(json.dumps(found, ensure_ascii=False, indent=1), "utf-8")
    figures: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return figures


def settings_of(spec: str) -> Dpo | Kto | Grpo | Ppo | None:
    """`name`, or `name:key=value,…`."""
    name, _, own = spec.partition(":")
    known = STAGES[name]
    if known is None or not own:
        return known
    changed = {key: json.loads(value) for key, value in (pair.split("=") for pair in own.split(","))}
    return known.parse({**known.model_dump(), **changed}, where=spec)


def learn(setup: Ground, out: Path, settings: Dpo | Kto | Grpo | Ppo) -> FineTune:
    """The fine-tune, aligned by a method."""
    from metier.align import model_reward, prefer, reinforce, weighted

    if isinstance(settings, Dpo | Kto):
        return prefer(
            setup.sft, setup.training_pairs, out, settings, base=setup.base, held_out=setup.held_out,
            progress=lambda p: say(f"{out.name} {p.step}/{p.steps} loss {p.loss:.3f}"),
        )  # fmt: skip
    return reinforce(
        setup.sft, setup.train, weighted([(1.0, setup.rule), (JUDGED, model_reward(setup.judge))]), out, settings,
        base=setup.base, held_out=setup.held_out,
        progress=lambda u, n: say(f"{out.name} {u.update}/{n} reward {u.score:.3f} kl {u.kl:.2f} drift {u.drift:.4f}"),
    )  # fmt: skip


def rounds(tuned: FineTune) -> dict[str, list[float]] | None:
    """Figures of every update; None for methods without updates."""
    from metier.align.updates import LOG, read

    if not (tuned.path / LOG).is_file():
        return None
    updates = read(tuned.path / LOG)
    return {key: [round(getattr(u, key), 4) for u in updates] for key in ("score", "kl", "length", "drift")}


def report_of(setup: Ground, stages: dict[str, Any], on: str) -> dict[str, Any]:
    """The report: a row for each stage, without the rewards of single inputs."""
    import torch

    rows = {
        name: {**row, **{kind: {k: v for k, v in row[kind].items() if k != "rewards"} for kind in ("drawn", "greedy")}}
        for name, row in stages.items()
    }
    return {
        "benchmark": "reward",
        "command": f"python tests/benchmarks/reward.py OUT --stages {' '.join(stages)} --inputs {on} --json",
        **machine("torch", "transformers", "trl", "peft", "onnxruntime-gpu"),
        "threads": torch.get_num_threads(),
        "base": setup.base.card.id,
        "engine": setup.bundle.manifest.precision,
        "preferences": "simulated by the checks",
        "pairs": {"learnt": len(setup.training_pairs), "apart": len(setup.held_out_pairs)},
        "inputs": {"train": len({*map(key, setup.train)}), on: len({*map(key, setup.samples(on))})},
        "answers_to_an_input": DRAWN,
        "reward_model": judged(setup),
        "stages": rows,
    }


def show(report: dict[str, Any]) -> None:
    """The report in short, a line for each stage; `sdk/docs/alignment.py` makes its tables."""
    held = report["reward_model"]["held_out"]
    print(f"reward model: right on {held['accuracy']:.0%} of {held['pairs']} pairs apart, Brier {held['brier']:.3f}")
    for name, row in report["stages"].items():
        gains = ["{mean:+.3f} [{low:+.3f}, {high:+.3f}]".format(**gain) for gain in row.get("gain", {}).values()]
        cells = [
            f"{name:10}  reward {row['drawn']['reward_by_rule']:.3f} / {row['greedy']['reward_by_rule']:.3f}",
            f"gain {' / '.join(gains) or '-'}",
            f"model {row['drawn']['reward_model']:+.2f} / {row['greedy']['reward_model']:+.2f}",
            f"KL {row['kl_to_sft']:.2f}",
            f"perplexity {row['general_perplexity']['en']}",
            f"characters {row['greedy']['not_rewarded']['characters']:.0f}",
            f"seconds {row.get('seconds', 0):.0f}",
        ]
        print("  ".join(cells))


if __name__ == "__main__":
    main()
