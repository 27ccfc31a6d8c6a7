"""How fast a policy in training answers: the ONNX engine with its live LoRA against transformers' `generate`.

    python tests/benchmarks/rollout.py [--json] [--rounds 3] [--batches 8 16] [--threads N] [--out FILE]

The policy is the fine-tune that adcopy packages, the prompts are its training inputs, and answers are drawn at
temperature 1 from the whole vocabulary, until their end token or 96 tokens: what one update needs. PPO draws 32
answers to as many prompts; GRPO draws 32 answers, 8 to each of 4 prompts, which TRL gives `generate` as 32 prompts.

The engine decodes `batch` rows and gives a row that has ended to the next prompt; `generate` takes `batch` prompts at a
time, and waits for the longest answer of each. Counted are the tokens of the answers, end token included, per second of
the whole job, prompts read and weights copied (`set_adapter`) included. All systems take turns in every round; a
figure is the median of the rounds. With `--out`, rounds are added to those that the file holds, so that a long run can
be taken in pieces. `generate` runs on the PEFT model as TRL runs it, in fp32 and, where the machine multiplies bf16
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
ANSWERS = 32
GROUPS = {"ppo": 1, "grpo": 8}
"""Answers to each prompt, by method."""

System = Callable[[list[Any], int, int], tuple[list[Any], int]]
"""(prompts, most tokens of an answer, seed) → (rollouts where it is ours, tokens in all)."""


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--threads", type=int, help="of the engine and of torch; one per core where not given")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    before = json.loads(options.out.read_text("utf-8"))["rounds"] if options.out and options.out.exists() else []
    result = measure(options.rounds, options.batches, options.threads, before)
    text = json.dumps(result, indent=1)
    if options.out:
        options.out.write_text(text + "\n", "utf-8")
    if options.json:
        return print(text)
    for row in result["systems"]:
        print("{asks:5} {system:22} {precision:5} batch {batch:3}  {tokens_per_second:7.1f} tokens/s".format(**row))
    for name, value in result["ratios"].items():
        print(f"{name}: {value:.2f}")
    print(f"graph against torch fp32: {result['mismatch']}")
    return None


def measure(rounds: int, batches: list[int], threads: int | None, before: list[dict[str, Any]]) -> dict[str, Any]:
    """Tokens per second of every system, their ratios, and what the graph differs from torch by.

    Args:
        rounds: to measure now.
        batches: rows decoded together.
        threads: CPU threads of every system.
        before: rounds measured earlier, on the same machine.
    """
    import torch

    from metier.align.policy_init import trainable
    from metier.align.rollout import RolloutEngine, mismatch, rollout_bundle
    from metier.bases import load_finetune, resolve
    from metier.bases.hardware import bf16_is_native
    from metier.contracts import Ppo
    from metier.data.training import training_data
    from metier.plugins import load_plugins

    if threads:
        torch.set_num_threads(threads)
    vertical, task = load_plugins().task("adcopy.describe")
    (packaged,) = (f for f in vertical.fine_tunes if task.name in {t.name for t in f.card.tasks})
    finetune = load_finetune(packaged.path)
    local = resolve(finetune.card.base.id, revision=finetune.card.base.revision)
    inputs = list({str(s.input): s.input for s in training_data(vertical, task).train}.values())[:ANSWERS]
    policies = {"fp32": trainable(local, finetune, Ppo(precision="fp32")).eval()}
    if bf16_is_native(torch.device("cpu")):
        policies["bf16"] = trainable(local, finetune, Ppo(precision="bf16")).eval()
    bundle = rollout_bundle(local, progress=lambda stage: print(stage, file=sys.stderr))
    graph = bundle.manifest.precision
    systems: dict[tuple[str, str, int], System] = {}
    rows: list[Any] = []
    clocks: dict[tuple[str, str, int], dict[str, float]] = {}
    results = list(before)
    with ExitStack() as engines:
        for batch in batches:
            rollouts = engines.enter_context(RolloutEngine(bundle, rows=batch, max_len=512, threads=threads))
            prompts = [rollouts.prompt(task, value) for value in inputs]
            systems["metier engine", graph, batch] = _engine(rollouts, policies["fp32"])
            clocks["metier engine", graph, batch] = _clocked(rollouts._engine._session.decoder)
        for dtype, policy in policies.items():
            for batch in batches:
                systems["transformers generate", dtype, batch] = _generate(policy, batch, bundle.tokenizer)
        prompts_of = {
            method: [p for p in prompts[: ANSWERS // group] for _ in range(group)] for method, group in GROUPS.items()
        }
        for (_, _, batch), system in systems.items():
            system(prompts[:batch], 2, 0)  # warms up: memory of every row is touched once
        for _ in range(rounds):
            found: dict[str, Any] = {}
            for method, part in prompts_of.items():
                for key, system in systems.items():
                    earlier = dict(clocks.get(key, {}))
                    start = time.perf_counter()
                    drawn, tokens = system(part, MAX_TOKENS, len(results))
                    seconds = time.perf_counter() - start
                    parts = {name: round(clocks[key][name] - value, 3) for name, value in earlier.items()}
                    found[_name(method, key)] = {"tokens": tokens, "seconds": round(seconds, 3), **parts}
                    print(_name(method, key), f"{tokens / seconds:.1f} tokens/s", file=sys.stderr, flush=True)
                    rows = drawn or rows
            results.append(found)
    speeds = {name: [one[name]["tokens"] / one[name]["seconds"] for one in results] for name in results[0]}
    speed = {name: statistics.median(values) for name, values in speeds.items()}
    return {
        "benchmark": "rollout",
        "command": "python tests/benchmarks/rollout.py --rounds 1 --out FILE, once a round",
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "threads": torch.get_num_threads(),
        "versions": {n: version(n) for n in ("torch", "transformers", "peft", "onnxruntime-gpu")},
        "base": local.card.id,
        "answers": ANSWERS,
        "answers_to_a_prompt": GROUPS,
        "prompt_tokens": [min(map(len, prompts)), max(map(len, prompts))],
        "systems": [
            {
                "asks": method,
                "system": key[0],
                "precision": key[1],
                "batch": key[2],
                "tokens_per_second": round(speed[_name(method, key)], 1),
                "spread": [round(value, 1) for value in sorted(speeds[_name(method, key)])],
            }
            for method in GROUPS
            for key in systems
        ],
        "ratios": {
            f"{method}: engine {graph} / generate {dtype}, batch {batch}": round(
                speed[_name(method, ("metier engine", graph, batch))]
                / speed[_name(method, ("transformers generate", dtype, batch))],
                2,
            )
            for method in GROUPS
            for batch in batches
            for dtype in policies
        },
        "mismatch": mismatch(_by_torch(policies["fp32"], rows), [v for r in rows for v in r.logprobs]).__dict__,
        "rounds": results,
    }


def _name(method: str, key: tuple[str, str, int]) -> str:
    return f"{method}, {key[0]} {key[1]}, batch {key[2]}"


def _clocked(decoder: Any) -> dict[str, float]:
    """Seconds that a decoder spends reading prompts and decoding steps, counted from now on."""
    spent = {"prefill": 0.0, "step": 0.0}

    def clocked(name: str) -> None:
        work = getattr(decoder, name)

        def run(*given: Any) -> None:
            start = time.perf_counter()
            work(*given)
            spent[name] += time.perf_counter() - start

        setattr(decoder, name, run)

    for name in spent:
        clocked(name)
    return spent


def _engine(rollouts: Any, policy: Any) -> System:
    def run(prompts: list[Any], most: int, seed: int) -> tuple[list[Any], int]:
        rollouts.set_weights(policy)
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
