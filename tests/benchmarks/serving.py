"""Many adapters in one batch: this runtime's engine against itself without them, and against other runtimes.

    python tests/benchmarks/serving.py [--json] [--base smollm2-135m] [--rank 8] [--tokens 64] [--repeat 5]
        [--llama PYTHON --gguf FILE]

All systems run interleaved in one process, each after a short run of its own that does not count: a session's idle
threads spin for a while, and would slow the next one's first steps. Figures are medians over rounds; `best` is the
best round, which other work on the machine disturbs least. `each` is a
different adapter per row, `one` the same for all, `merged` the graph without slots, which is what a merged adapter
runs as. Engine figures count the whole request, prompt included; `steps` are the decoder's alone. llama.cpp runs in
an interpreter of its own that has llama-cpp-python, on the base as GGUF Q4 and without any LoRA: it does not batch
requests whose LoRA differ, and a LoRA would only make it slower.
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from slot_bundles import build, machine, with_adapters

PROMPT = "Describe this mug in one sentence: name[Harrow mug], material[stoneware], capacity[350 ml], colour[slate]."
BATCHES = (1, 4, 8, 16)

Run = Callable[[], tuple[float, list[float]]]
"""Seconds for the whole batch, and each request's seconds to its first token."""


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--base", default="smollm2-135m")
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--skip-baselines", action="store_true")
    parser.add_argument("--llama", help="a Python that has llama-cpp-python")
    parser.add_argument("--gguf", help="the base as GGUF Q4, for --llama")
    parser.add_argument("--steps-only", action="store_true", help="no whole requests: a minute, for a busy machine")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        result = measure(options, Path(scratch))
    if options.json:
        json.dump(result, sys.stdout, indent=1)
        print()
        return
    for row in [*result["steps"], *result["requests"]]:
        print(row)
    print(result["ratios"], result["skipped"])


def measure(options: Any, scratch: Path) -> dict[str, Any]:
    """Decoder steps, whole requests, baselines, and the ratios that are promised."""
    most = max(*options.batches, 8)
    plain, slotted = build(options.base, scratch)
    slotted = with_adapters(slotted, [options.rank] * most, onnx=True)
    ids = plain.tokenizer.encode(plain.tokenizer.render([{"role": "user", "content": PROMPT}]))
    steps = measure_steps(plain, slotted, options)
    requests, skipped = ([], {}) if options.steps_only else measure_requests(plain, slotted, ids, options)

    def speed(rows: list[dict[str, Any]], system: str, batch: int) -> tuple[float, float] | None:
        """Median and best."""
        found = (r for r in rows if (r["system"], r["batch"]) == (system, batch))
        return next(((r["tokens_per_second"], max(r["spread"])) for r in found), None)

    ratios = {}
    for kind, rows in (("steps", steps), ("requests", requests)):
        for batch in options.batches:
            merged = speed(rows, "merged", batch)
            for system in ("empty slots", "one", "each"):
                if merged and (found := speed(rows, system, batch)):
                    for name, a, b in zip(("", ", best"), found, merged, strict=True):
                        ratios[f"{kind}, batch {batch}: {system} / merged{name}"] = round(a / b, 3)
    each = speed(requests, "each", 8)
    for system in {row["system"] for row in requests} - {"merged", "one", "each"}:
        other = speed(requests, system, 8)
        if each and other:
            for name, a, b in zip(("", ", best"), each, other, strict=True):
                ratios[f"eight adapters: each / {system}{name}"] = round(a / b, 2)
    return {
        "benchmark": "serving",
        **machine("onnxruntime-gpu", "onnxruntime", "onnxruntime-genai-cuda", "torch", "transformers", "peft", "numpy"),
        "base": plain.manifest.base.id, "precision": "int4", "rank": options.rank, "prompt_tokens": len(ids),
        "new_tokens": options.tokens, "steps": steps, "requests": requests, "ratios": ratios, "skipped": skipped,
    }  # fmt: skip


def measure_steps(plain: Any, slotted: Any, options: Any) -> list[dict[str, Any]]:
    """Tokens per second of decode steps alone, 100 tokens of context."""
    from metier.decoding.adapter_store import AdapterStore
    from metier.decoding.decoder import Decoder
    from metier.decoding.device import open_session

    store = AdapterStore(slotted.path, slotted.manifest, 1 << 30)
    loras = [store.get(f"a{number}") for number in range(max(options.batches))]
    opened = {name: open_session(b.path / b.manifest.graph.file, "cpu") for name, b in zip("ps", (plain, slotted))}
    context = np.random.default_rng(0).integers(100, 5000, 100)
    rows = []
    for batch in options.batches:
        systems = {}
        for name, session, adapter_of in (
            ("merged", "p", lambda row: None),
            ("empty slots", "s", lambda row: None),
            ("one", "s", lambda row: loras[0]),
            ("each", "s", lambda row: loras[row]),
        ):
            slots = slotted.manifest.slots if session == "s" else ()
            graph = plain.manifest.graph
            decoder = Decoder(opened[session], graph, rows=batch, max_len=256, slots=slots)
            for row in range(batch):
                decoder.adapters.load(row, adapter_of(row))
                decoder.prefill(row, context)
            systems[name] = decoder
        times: dict[str, list[float]] = {name: [] for name in systems}
        for _ in range(options.repeat):
            for name, decoder in systems.items():
                tokens = np.full(batch, 5)
                for row in range(batch):
                    decoder.truncate(row, 100)
                for _ in range(4):
                    decoder.step(tokens)
                start = time.perf_counter()
                for _ in range(16):
                    decoder.step(tokens)
                times[name].append((time.perf_counter() - start) / 16)
        for name, taken in times.items():
            median = statistics.median(taken)
            rows.append({
                "system": name, "batch": batch, "step_ms": round(median * 1e3, 2),
                "tokens_per_second": round(batch / median, 1),
                "spread": [round(batch / t) for t in sorted(taken, reverse=True)],
            })  # fmt: skip
    return rows


def measure_requests(
    plain: Any, slotted: Any, ids: list[int], options: Any
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Whole requests, submitted together: tokens per second, and seconds to the first token."""
    from metier.runtime import Engine

    skipped: dict[str, str] = {}
    most = max(options.batches)
    engines = {name: Engine(b, rows=most, max_len=512, adapter_bytes=1 << 30) for name, b in
               (("p", plain), ("s", slotted))}  # fmt: skip
    systems: dict[tuple[str, int], Run] = {}
    for batch in options.batches:
        systems["merged", batch] = engine_run(engines["p"], [None] * batch, ids, options.tokens)
        systems["one", batch] = engine_run(engines["s"], ["a0"] * batch, ids, options.tokens)
        systems["each", batch] = engine_run(engines["s"], [f"a{n}" for n in range(batch)], ids, options.tokens)
    if not options.skip_baselines:
        for name, make in (("transformers+peft, mixed batch", peft_run), ("onnxruntime-genai, in turn", genai_run)):
            try:
                systems[name, 8] = make(slotted, ids, options.tokens)
            except ImportError as error:
                skipped[name] = str(error)
        if options.llama and options.gguf:
            systems["llama-cpp-python, in turn, no LoRA", 8] = llama_run(options, ids)
        else:
            skipped["llama-cpp-python"] = "no --llama and --gguf were given"
    times: dict[tuple[str, int], list[float]] = {key: [] for key in systems}
    firsts: dict[tuple[str, int], list[float]] = {key: [] for key in systems}
    for round_ in range(options.repeat + 1):  # the first round warms up and does not count
        for key, run in systems.items():
            slow = key[0].startswith("transformers")
            if slow and round_ > 2:  # some ten seconds a round
                continue
            taken, first = run()
            if round_:
                times[key].append(taken)
                firsts[key] += first
    for engine in engines.values():
        engine.close()
    return [
        {
            "system": system, "batch": batch,
            "tokens_per_second": round(batch * options.tokens / statistics.median(times[system, batch]), 1),
            "spread": [round(batch * options.tokens / t, 1) for t in sorted(times[system, batch], reverse=True)],
            "first_token_ms": percentiles(firsts[system, batch]),
        }
        for system, batch in systems
    ], skipped  # fmt: skip


def engine_run(engine: Any, names: list[str | None], ids: list[int], tokens: int) -> Run:
    """Requests to the engine, each with its own first words, so that no prompt's KV serves another's."""
    from metier.decoding.generation import Request

    count = iter(range(100, 10**9))

    def run() -> tuple[float, list[float]]:
        start = time.perf_counter()
        running = []
        for name in names:
            own = (ids[0], next(count) % 40000, *ids[1:])
            running.append(engine.submit(Request(ids=own, max_tokens=tokens, adapter=name)))
        firsts: dict[int, float] = {}
        while len(firsts) < len(running):
            for number, generation in enumerate(running):
                if number not in firsts and (generation.ids or generation.done):
                    firsts[number] = time.perf_counter() - start
            time.sleep(0.002)
        for generation in running:
            generation.result()
        return time.perf_counter() - start, list(firsts.values())

    return run


def peft_run(bundle: Any, ids: list[int], tokens: int) -> Run:
    """peft's own mixed batch: `generate(adapter_names=…)`, fp32."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from metier.bases.resolve import resolve

    model: Any = AutoModelForCausalLM.from_pretrained(resolve(bundle.manifest.base.id).path, dtype=torch.float32)
    folders = [str(bundle.path / "adapters" / f"a{number}") for number in range(8)]
    model = PeftModel.from_pretrained(model, folders[0], adapter_name="a0")
    for number in range(1, 8):
        model.load_adapter(folders[number], f"a{number}")
    model.eval()
    prompt = torch.tensor([ids] * 8)

    def run() -> tuple[float, list[float]]:
        start = time.perf_counter()
        with torch.inference_mode():
            model.generate(
                input_ids=prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=tokens, min_new_tokens=tokens,
                do_sample=False, adapter_names=[f"a{number}" for number in range(8)],
            )  # fmt: skip
        return time.perf_counter() - start, []  # generate gives nothing back before the end

    return run


def genai_run(bundle: Any, ids: list[int], tokens: int) -> Run:
    """onnxruntime-genai on the very same folder: one adapter per generator, so one after the other."""
    import onnxruntime_genai as genai

    model = genai.Model(str(bundle.path))
    adapters = genai.Adapters(model)
    for number in range(8):
        adapters.load(str(bundle.path / "adapters" / f"a{number}" / f"a{number}.onnx_adapter"), f"a{number}")

    def run() -> tuple[float, list[float]]:
        start, firsts = time.perf_counter(), []
        for number in range(8):
            params = genai.GeneratorParams(model)
            params.set_search_options(max_length=len(ids) + tokens, do_sample=False)
            generator = genai.Generator(model, params)
            generator.set_active_adapter(adapters, f"a{number}")
            generator.append_tokens(ids)
            for made in range(tokens):
                generator.generate_next_token()
                if made == 0:
                    firsts.append(time.perf_counter() - start)
        return time.perf_counter() - start, firsts

    return run


LLAMA = """
import json, sys, time
from llama_cpp import Llama
gguf, ids, tokens = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
threads = int(sys.argv[4])
model = Llama(gguf, n_ctx=len(ids) + tokens + 8, n_threads=threads, n_threads_batch=threads, verbose=False)
for _ in sys.stdin:
    start, firsts = time.perf_counter(), []
    for number in range(8):
        model.reset()
        for made, token in enumerate(model.generate(ids, temp=0.0, reset=True), 1):
            if made == 1:
                firsts.append(time.perf_counter() - start)
            if made == tokens:
                break
    print(json.dumps([time.perf_counter() - start, firsts]), flush=True)
"""


def llama_run(options: Any, ids: list[int]) -> Run:
    """llama.cpp on the base without a LoRA, eight requests one after the other; it idles while the others run."""
    command = [options.llama, "-c", LLAMA, options.gguf, json.dumps(ids), str(options.tokens), str(os.cpu_count())]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin and process.stdout
    atexit.register(process.stdin.close)  # ends its loop

    def run() -> tuple[float, list[float]]:
        print(file=process.stdin, flush=True)
        taken, firsts = json.loads(process.stdout.readline())
        return taken, firsts

    return run


def percentiles(seconds: list[float]) -> dict[str, int] | None:
    """p50 and p95 in milliseconds."""
    return {f"p{q}": round(float(np.percentile(seconds, q)) * 1e3) for q in (50, 95)} if seconds else None


if __name__ == "__main__":
    main()
