"""How fast a policy in training answers: the ONNX engine with its live LoRA against transformers' `generate`.

    python tests/benchmarks/rollout.py [--json] [--prompts 32] [--repeat 1] [--batches 8 16] [--out FILE]

The policy is the fine-tune that adcopy packages, the prompts are its training inputs, and answers are drawn at
temperature 1 from the whole vocabulary, until their end token or 96 tokens: what one update of PPO asks for. The engine
decodes `batch` rows and gives a row that has ended to the next prompt; `generate` takes `batch` prompts at a time, and
waits for the longest answer of each. Counted are the tokens of the answers, end token included, per second of the whole
job, prompts read and weights handed over (`set_adapter`) included. All systems take turns in one run; a figure is the
median of the repeats. `generate` runs on the PEFT model as TRL runs it, in fp32 and, where the machine multiplies bf16
natively, in bf16.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import metier.bases.threads  # noqa: F401  before torch

MAX_TOKENS = 96
System = Callable[[list[Any], int, int], tuple[list[Any], int]]
"""(prompts, most tokens of an answer, seed) → (rollouts where it is ours, tokens in all)."""


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result = measure(options.prompts, options.repeat, options.batches)
    text = json.dumps(result, indent=1)
    if options.out:
        options.out.write_text(text + "\n", "utf-8")
    if options.json:
        return print(text)
    for row in result["systems"]:
        print(
            f"{row['system']:22} {row['precision']:5} batch {row['batch']:3}  {row['tokens_per_second']:7.1f} tokens/s"
        )
    for name, value in result["ratios"].items():
        print(f"{name}: {value:.2f}")
    print(f"graph against torch fp32: {result['mismatch']}")
    return None


def measure(count: int, repeat: int, batches: list[int]) -> dict[str, Any]:
    """Tokens per second of every system, their ratios, and what the graph differs from torch by."""
    import torch

    from metier.align.rollout import Rollouts, mismatch, rollout_bundle
    from metier.align.start import trainable
    from metier.bases import load_finetune, resolve
    from metier.bases.hardware import bf16_is_native
    from metier.contracts import Ppo
    from metier.data.training import training_data
    from metier.plugins import load_plugins

    vertical, task = load_plugins().task("adcopy.describe")
    (packaged,) = (f for f in vertical.fine_tunes if task.name in {t.name for t in f.card.tasks})
    finetune = load_finetune(packaged.path)
    local = resolve(finetune.card.base.id, revision=finetune.card.base.revision)
    inputs = list({str(s.input): s.input for s in training_data(vertical, task).train}.values())[:count]
    policies = {"fp32": trainable(local, finetune, Ppo(precision="fp32")).eval()}
    if bf16_is_native(torch.device("cpu")):
        policies["bf16"] = trainable(local, finetune, Ppo(precision="bf16")).eval()
    bundle = rollout_bundle(local, progress=lambda stage: print(stage, file=sys.stderr))
    systems: dict[tuple[str, str, int], System] = {}
    with ExitStack() as engines:
        for batch in batches:
            rollouts = engines.enter_context(Rollouts(bundle, rows=batch, max_len=512))
            prompts = [rollouts.prompt(task, value) for value in inputs]
            systems["metier engine", "fp32", batch] = _engine(rollouts, policies["fp32"])
        for dtype, policy in policies.items():
            for batch in batches:
                systems["transformers generate", dtype, batch] = _generate(policy, batch, bundle.tokenizer)
        speeds: dict[tuple[str, str, int], list[float]] = {key: [] for key in systems}
        rows: list[Any] = []
        for round_ in range(repeat):
            for key, system in systems.items():
                system(prompts[:2], 2, 0)  # warms up
                start = time.perf_counter()
                drawn, tokens = system(prompts, MAX_TOKENS, round_)
                speeds[key].append(tokens / (time.perf_counter() - start))
                print(key, f"{speeds[key][-1]:.1f} tokens/s", file=sys.stderr)
                rows = drawn or rows
    speed = {key: statistics.median(found) for key, found in speeds.items()}
    return {
        "benchmark": "rollout",
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": {n: version(n) for n in ("torch", "transformers", "peft", "onnxruntime-gpu")},
        "base": local.card.id,
        "prompts": len(prompts),
        "prompt_tokens": [min(map(len, prompts)), max(map(len, prompts))],
        "answer_tokens": round(statistics.mean(len(row.reply) for row in rows), 1),
        "systems": [
            {
                "system": name,
                "precision": precision,
                "batch": batch,
                "tokens_per_second": round(speed[name, precision, batch], 1),
                "spread": [round(found, 1) for found in sorted(speeds[name, precision, batch])],
            }
            for name, precision, batch in systems
        ],
        "ratios": {
            f"engine / generate {dtype}, batch {batch}": round(
                speed["metier engine", "fp32", batch] / speed["transformers generate", dtype, batch], 2
            )
            for batch in batches
            for dtype in policies
        },
        "mismatch": mismatch(_by_torch(policies["fp32"], rows), [v for r in rows for v in r.logprobs]).__dict__,
    }


def _engine(rollouts: Any, policy: Any) -> System:
    def run(prompts: list[Any], most: int, seed: int) -> tuple[list[Any], int]:
        rollouts.wear(policy)
        drawn = rollouts.draw(prompts, max_tokens=most, seed=seed)
        return drawn, sum(len(row.reply) for row in drawn)

    return run


def _generate(policy: Any, batch: int, tokenizer: Any) -> System:
    import torch

    end = list(tokenizer.eos_ids)

    def run(prompts: list[Any], most: int, seed: int) -> tuple[list[Any], int]:
        torch.manual_seed(seed)
        total = 0
        for start in range(0, len(prompts), batch):
            part = prompts[start : start + batch]
            longest = max(map(len, part))
            ids = torch.tensor([[0] * (longest - len(p)) + list(p) for p in part])
            mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in part])
            with torch.inference_mode():
                out = policy.generate(
                    input_ids=ids, attention_mask=mask, max_new_tokens=most, do_sample=True, temperature=1.0, top_k=0,
                    top_p=1.0, pad_token_id=0, eos_token_id=end,
                )  # fmt: skip
            for row in out[:, longest:].tolist():
                total += next((i + 1 for i, token in enumerate(row) if token in end), len(row))
        return [], total

    return run


def _by_torch(policy: Any, rows: list[Any]) -> list[float]:
    import torch

    found: list[float] = []
    for row in rows:
        with torch.inference_mode():
            logits = policy(input_ids=torch.tensor([[*row.prompt, *row.reply]])).logits[0, len(row.prompt) - 1 : -1]
        found += logits.log_softmax(-1)[range(len(row.reply)), list(row.reply)].tolist()
    return found


if __name__ == "__main__":
    main()
