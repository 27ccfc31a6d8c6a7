"""How fast a policy in training answers: the ONNX engine with its live LoRA against transformers' `generate`.

    python tests/benchmarks/rollout.py [--json] [--base smollm2-135m] [--tokens 64] [--repeat 3] [--batches 8 16]
        [--precisions fp32 int4] [--out FILE]

Same prompts (packaged samples of adcopy.describe), same LoRA (rank 8 on every projection, weights drawn at random),
drawn at temperature 1 from the whole vocabulary, the end token ignored, so that each makes as many tokens. All systems
take turns in one run; a figure is the median of the repeats, prefill included. The engine's time includes handing the
weights over (`set_adapter`) before every batch, as after an update. `generate` runs on the PEFT model, as TRL runs it,
in fp32 and, where the machine multiplies bf16 natively, in bf16.
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
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import metier.bases.threads  # noqa: F401  before torch

System = Callable[[], list[tuple[tuple[int, ...], tuple[int, ...], tuple[float, ...]]]]
"""Draws one batch: (prompt, reply, log-probabilities) per row."""


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--base", default="smollm2-135m")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--precisions", nargs="+", default=["fp32", "int4"])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result = measure(options.base, options.tokens, options.repeat, options.batches, options.precisions)
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
    for name, value in result["mismatch"].items():
        print(f"graph against torch fp32, {name}: {value}")
    return None


def measure(base: str, tokens: int, repeat: int, batches: list[int], precisions: list[str]) -> dict[str, Any]:
    """Tokens per second of every system, their ratios, and what the graphs differ from torch by."""
    import torch

    from metier.adapt.precision import bf16_is_native
    from metier.align.rollout import Rollouts, mismatch, rollout_bundle
    from metier.bases.resolve import resolve
    from metier.data.training import first_inputs, training_data
    from metier.plugins import load_plugins

    local = resolve(base)
    vertical, task = load_plugins().task("adcopy.describe")
    data = training_data(vertical, task)
    inputs = list({str(s.input): s.input for s in first_inputs(data.train, max(batches))}.values())
    torch.manual_seed(0)
    policies: dict[str, Any] = {"fp32": _policy(local, torch.float32)}
    if bf16_is_native(torch.device("cpu")):
        policies["bf16"] = _policy(local, torch.bfloat16)
    engines, systems = [], {}
    for precision in precisions:
        bundle = rollout_bundle(local, precision=precision, progress=lambda s: print(s, file=sys.stderr))  # type: ignore[arg-type]
        bundle.tokenizer.eos_ids = (-1,)
        rollouts = Rollouts(bundle, rows=max(batches), max_len=512)
        engines.append(rollouts)
        prompts = [rollouts.prompt(task, value) for value in inputs]
        for batch in batches:
            systems["metier engine", precision, batch] = _engine(rollouts, policies["fp32"], prompts[:batch], tokens)
    for dtype, policy in policies.items():
        for batch in batches:
            systems["transformers generate", dtype, batch] = _generate(policy, prompts[:batch], tokens)

    times: dict[tuple[str, str, int], list[float]] = {key: [] for key in systems}
    drawn: dict[str, list[Any]] = {precision: [] for precision in precisions}
    for round_ in range(repeat + 1):  # the first round warms up and does not count
        for key, system in systems.items():
            start = time.perf_counter()
            rows = system()
            if round_:
                times[key].append(time.perf_counter() - start)
            if key[0] == "metier engine" and round_ == repeat:
                drawn[key[1]] += rows
    for rollouts in engines:
        rollouts.close()
    speed = {key: key[2] * tokens / statistics.median(taken) for key, taken in times.items()}
    ratios = {}
    for batch in batches:
        for precision in precisions:
            for dtype in policies:
                name = f"engine {precision} / generate {dtype}, batch {batch}"
                ratios[name] = round(
                    speed["metier engine", precision, batch] / speed["transformers generate", dtype, batch], 2
                )
    found = {
        precision: mismatch(_by_torch(policies["fp32"], rows), [v for row in rows for v in row[2]]).__dict__
        for precision, rows in drawn.items()
    }
    return {
        "benchmark": "rollout",
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": {n: version(n) for n in ("torch", "transformers", "peft", "onnxruntime-gpu")},
        "base": local.card.id,
        "new_tokens": tokens,
        "prompt_tokens": [min(map(len, prompts)), max(map(len, prompts))],
        "systems": [
            {
                "system": name,
                "precision": precision,
                "batch": batch,
                "tokens_per_second": round(speed[name, precision, batch], 1),
                "spread": [round(batch * tokens / t, 1) for t in sorted(times[name, precision, batch], reverse=True)],
            }
            for name, precision, batch in systems
        ],
        "ratios": ratios,
        "mismatch": found,
    }


def _policy(local: Any, dtype: Any) -> Any:
    """The base with a LoRA that changes what it says."""
    import torch
    from peft import LoraConfig, get_peft_model

    from metier.bases.torch_model import load_torch

    config = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = get_peft_model(load_torch(local, dtype), config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.copy_(0.01 * torch.randn(weight.shape, generator=generator))
    return adapted.eval()


def _engine(rollouts: Any, policy: Any, prompts: list[Any], tokens: int) -> System:
    def run() -> list[Any]:
        rollouts.wear(policy)
        return [(r.prompt, r.reply, r.logprobs) for r in rollouts.draw(prompts, max_tokens=tokens, seed=0)]

    return run


def _generate(policy: Any, prompts: list[Any], tokens: int) -> System:
    import torch

    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(p)) + list(p) for p in prompts])
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])

    def run() -> list[Any]:
        with torch.inference_mode():
            policy.generate(
                input_ids=ids, attention_mask=mask, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=True,
                temperature=1.0, top_k=0, top_p=1.0, pad_token_id=0,
            )  # fmt: skip
        return []

    return run


def _by_torch(policy: Any, rows: list[Any]) -> list[float]:
    import torch

    found: list[float] = []
    for prompt, reply, _ in rows:
        with torch.inference_mode():
            logits = policy(input_ids=torch.tensor([[*prompt, *reply]])).logits[0, len(prompt) - 1 : -1]
        found += logits.log_softmax(-1)[range(len(reply)), list(reply)].tolist()
    return found


if __name__ == "__main__":
    main()
