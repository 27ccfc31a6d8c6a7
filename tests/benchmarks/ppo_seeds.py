"""Does PPO learn, whatever the seed? The toy of `tests/align/ppo_toy.py`, whose best score is 1, over many seeds.

    python tests/benchmarks/ppo_seeds.py [--seeds 20] [--rows now no_entropy …] [--into FILE] [--json]

A seed sets the LoRA's first weights, the answers drawn and the order of minibatches. A seed has learned when its last
update's answers score more than 0.9. The row `now` has the sizes, the learning rate and the entropy weight that a tiny
random base and so rare a reward need, and all other settings as they come; every other row is `now` with one setting
changed. `--into` adds to the rows of a file, so that a killed measurement resumes, and so that another version's are
put beside them: with PYTHONPATH at the `sdk` folder of an earlier checkout, `--rows before` measures the earlier PPO.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent.parent / "align")]

from slot_bundles import machine  # noqa: E402

SIZES = {"updates": 40, "rollouts": 64, "batch_size": 32, "epochs": 3}
TINY: dict[str, Any] = {
    **SIZES,
    "learning_rate": 4e-3,
    "entropy_weight": 0.1,
    "kl_weight": 0.0,
    "kl_target": None,
    "precision": "fp32",
}
FEW = {"updates": 18, "rollouts": 32, "batch_size": 16}
"""The bounds of an earlier version's test."""
ROWS: dict[str, dict[str, Any]] = {
    "before": {},
    "before_few_answers": FEW,
    "now": {},
    "now_few_answers": FEW,
    "no_entropy": {"entropy_weight": 0.0},
    "little_entropy": {"entropy_weight": 0.01},
    "kl_stop": {"kl_stop": 0.05},
    "value_clip": {"value_clip": 0.2},
    "slow_value": {"value_learning_rate": 1e-3},
    "kl_weight": {"kl_weight": 0.01},
}
LEARNT = 0.9


def main() -> None:
    """Measure the rows that are missing; print the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=[r for r in ROWS if "before" not in r])
    parser.add_argument("--into", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    into = options.into
    rows: dict[str, Any] = json.loads(into.read_text("utf-8"))["rows"] if into and into.exists() else {}
    with tempfile.TemporaryDirectory() as scratch:
        base = tiny(Path(scratch))
        for name in options.rows:
            scores = rows[name]["scores"] if name in rows else []
            begun, more = time.process_time(), range(len(scores), options.seeds)
            for seed in more:
                scores.append(round(last_score(base, Path(scratch), ROWS[name], seed), 3))
                print(f"{name} seed {seed}: {scores[-1]:.2f}", file=sys.stderr, flush=True)
                seconds = (time.process_time() - begun) / (seed - more.start + 1)
                rows[name] = {
                    "settings": {**TINY, **ROWS[name]},
                    "learnt": sum(score > LEARNT for score in scores), "seeds": len(scores),
                    "mean": round(sum(scores) / len(scores), 3), "seconds_a_seed": round(seconds, 1), "scores": scores,
                }  # fmt: skip
                if into:
                    into.write_text(json.dumps(report(rows), indent=1) + "\n", "utf-8")
    if options.json:
        return print(json.dumps(report(rows), indent=1))
    for name, row in rows.items():
        print(f"{name:20} learned {row['learnt']:2} of {row['seeds']}, mean {row['mean']:.2f}  {sorted(row['scores'])}")
    return None


def tiny(folder: Path) -> Any:
    """The tiny random base of the tests."""
    import torch

    from conftest import make_tiny_base
    from metier.bases.resolve import resolve

    torch.set_num_threads(1)
    return resolve(make_tiny_base(folder / "base"))


def last_score(base: Any, cache: Path, changed: dict[str, Any], seed: int) -> float:
    """Of a seed's run."""
    from metier.align import ppo
    from metier.contracts import Ppo, Recipe

    if not hasattr(ppo, "optimiser_of"):
        ppo.optimiser_of = earlier_optimiser
    from ppo_toy import Toy

    recipe = Recipe(lora={"rank": 4, "alpha": 8}, precision="fp32", seed=seed)
    wanted = {key: value for key, value in {**TINY, **changed}.items() if key in Ppo.model_fields}
    toy = Toy(base, recipe, cache, Ppo(**wanted, seed=seed), tokens=4)
    return float(toy.train()[-1].score)


def earlier_optimiser(policy: Any, settings: Any) -> Any:
    """The optimiser of `reinforce` before `optimiser_of` existed."""
    import torch

    value = {"params": list(policy.value.parameters()), "lr": settings.value_learning_rate}
    return torch.optim.AdamW(
        [{"params": list(policy.lora.values())}, value], lr=settings.learning_rate, weight_decay=0.0
    )


def report(rows: dict[str, Any]) -> dict[str, Any]:
    """All that `--json` prints."""
    return {
        "benchmark": "ppo_seeds",
        "command": "python tests/benchmarks/ppo_seeds.py --json",
        **machine("torch", "transformers", "peft", "onnxruntime-gpu"),
        "rows": {name: rows[name] for name in ROWS if name in rows},
    }


if __name__ == "__main__":
    main()
