"""The engine on a GPU: fp16 and int4, the default base and a model of Llama-3.1-8B's shape.

    python tests/benchmarks/gpu.py [--out FILE] [--rank 8] [--batches 1 8 32] [--models smollm2-135m llama-8b]
                                   [--precisions fp16 int4] [--device cuda] [--work DIR [--build]]

For each, with the engine's own decoder, greedy: milliseconds of a decode step and tokens per second of the plain graph
(`plain`), one adapter for all rows (`one`), and a different one per row (`each`); with CUDA graphs and without, with
candidates and with whole rows of logits copied; whether all of these say the same tokens; the share of the
memory-bandwidth limit (bytes of weights and KV that a step must read, over the device's measured copy rate); the
engine itself with its scheduler, base and a different adapter per request; and which provider really ran each node,
from ONNX Runtime's own profile.

`--build` only makes the graphs in --work, which a later run finds there: it needs no GPU, and minutes for the 8B model.

Without a CUDA device it prints why it skipped, and ends well. `--device cpu` runs the same lines on the CPU, where no
graph is captured and no figure means anything: a test does so with a tiny model. Nothing here has run on a GPU so far.
Weights of the 8B model are random: speed does not depend on them; it takes some 40 GB of memory and disk to build.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from slot_bundles import build, machine, unending, with_adapters

LLAMA_8B = {
    "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 8192, "rope_theta": 500000.0,
}  # fmt: skip

SETTINGS = {
    "graphs": {"graphs": True, "candidates": True},
    "no_graphs": {"graphs": False, "candidates": True},
    "no_candidates": {"graphs": True, "candidates": False},
}
"""What is compared: the default engine, and without either."""


def main() -> None:
    """Measure what can be measured here, and print JSON."""
    options = parsed()
    result = measure(options)
    text = json.dumps(result, indent=1)
    if options.out:
        options.out.write_text(text + "\n")
    print(text)


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="for the other benchmarks' sake: it prints JSON anyway")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--context", type=int, default=256, help="tokens in every row before the measured steps")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batches", type=int, nargs="+", default=(1, 8, 32))
    parser.add_argument("--precisions", nargs="+", default=("fp16", "int4"))
    parser.add_argument("--models", nargs="+", default=("smollm2-135m", "llama-8b"))
    parser.add_argument("--work", type=Path, help="where graphs are kept; a folder that is gone at the end by default")
    parser.add_argument("--build", action="store_true", help="make the graphs, measure nothing")
    return parser.parse_args(arguments)


def measure(options: Any) -> dict[str, Any]:
    """Every model and precision; or the reason why there is nothing to measure."""
    from metier.decoding import device
    from metier.decoding.device import cuda_missing, driver_version

    result = {
        "benchmark": "gpu", **machine("onnxruntime-gpu", "numpy"), "command": " ".join(["gpu.py", *sys.argv[1:]]),
        "rank": options.rank, "context": options.context,
    }  # fmt: skip
    if options.build:
        pass
    elif options.device == "cpu":
        device.RESIDENT = frozenset({"cpu", "cuda"})
    elif (missing := cuda_missing()) is not None:
        return {**result, "skipped": missing}
    else:
        result |= {"device": device_name(), "driver_cuda": driver_version()}
    models = []
    with tempfile.TemporaryDirectory() as scratch:
        work = options.work or Path(scratch)
        for name in options.models:
            base = llama_shape(work / "llama-8b") if name == "llama-8b" else name
            for precision in options.precisions:
                folder = work / f"{name}-{precision}"
                print(f"{time.strftime('%H:%M:%S')} {name} {precision}", file=sys.stderr, flush=True)
                bundles = built(str(base), folder, precision, options)
                if not options.build:
                    models.append({"model": name, "precision": precision, **one_model(*bundles, options)})
                    del bundles
                    shutil.rmtree(folder)
    return {**result, "models": models}


def built(base: str, folder: Path, precision: str, options: Any) -> tuple[Any, Any]:
    """The plain bundle and the one with slots and adapters, made or found in a folder."""
    from metier.contracts import Manifest

    kept = folder / "manifests.json"
    if not kept.is_file():
        plain, slotted = build(base, folder, precision, options.device)
        slotted = with_adapters(slotted, [options.rank] * max(options.batches))
        kept.write_text(json.dumps([one.manifest.model_dump(mode="json") for one in (plain, slotted)]))
    plain, slotted = (Manifest.model_validate(one) for one in json.loads(kept.read_text()))
    return unending(folder / "plain", plain), unending(folder / "slots", slotted)


def one_model(plain: Any, slotted: Any, options: Any) -> dict[str, Any]:
    """Steps of one graph in every setting, the engine over it, and who ran it."""
    from metier.decoding.adapter_store import AdapterStore

    store = AdapterStore(slotted.path, slotted.manifest, 1 << 40)
    loras = [store.get(f"a{number}") for number in range(max(options.batches))]
    graph = plain.manifest.graph
    size = sum(path.stat().st_size for path in plain.path.glob(f"{graph.file}*"))
    rate = copy_rate()
    rows: dict[int, dict[str, Any]] = {batch: {"batch": batch} for batch in options.batches}
    for bundle, variants in ((plain, {"plain": None}), (slotted, {"one": loras[:1], "each": loras})):
        for graphs in (True, False):  # one session of a bundle at a time: of the largest there is room for one
            sessions = Sessions(bundle, options.device, graphs)
            for setting, wanted in SETTINGS.items():
                if wanted["graphs"] == graphs:
                    for batch, row in rows.items():
                        for name, active in variants.items():
                            row.setdefault(name, {})[setting] = sessions.steps(
                                batch, active, wanted["candidates"], options
                            )
            rows[options.batches[0]].setdefault("refused", sessions.refused)
            del sessions
    for batch, row in rows.items():
        tokens = {
            name: {tuple(found.pop("tokens")) for found in row[name].values()} for name in ("plain", "one", "each")
        }
        row["same_tokens"] = {name: len(different) == 1 for name, different in tokens.items()}
        best = {name: found["graphs"].get("tokens_per_second") for name, found in row.items() if name in tokens}
        if not all(best.values()):
            continue
        row["retention"] = {name: round(best[name] / best["plain"], 3) for name in ("one", "each")}
        kv = batch * options.context * 2 * graph.layers * graph.kv_heads * graph.head_dim * 2
        if rate:
            row["share_of_bandwidth_limit"] = round((size + kv) / rate * best["plain"] / batch, 3)
    return {
        "weights_bytes": size, "copy_bytes_per_second": rate, "batches": list(rows.values()),
        "engine": served(slotted, options), "providers": providers(slotted, options.device),
    }  # fmt: skip


class Sessions:
    """A bundle's graph and its candidates' opened once, for decoders of many sizes."""

    def __init__(self, bundle: Any, device: str, graphs: bool) -> None:
        from metier.decoding.device import open_session

        self._manifest, graph = bundle.manifest, bundle.manifest.graph
        self._opened = open_session(bundle.path / graph.file, device, capture=graphs)
        self._few = open_session(bundle.path / graph.candidates, device)
        self.refused = self._opened.capture_error

    def steps(self, batch: int, active: Any, candidates: bool, options: Any) -> dict[str, Any]:
        """Median milliseconds of a greedy step, how much of them is choosing tokens, and tokens per second; or why it
        failed."""
        from metier.contracts import MetierError
        from metier.decoding.decoder import Decoder
        from metier.decoding.sampling import Sampler, Sampling

        opened = replace(self._opened)
        try:
            decoder = Decoder(
                opened, self._manifest.graph, rows=batch, max_len=options.context + options.steps + 8,
                slots=self._manifest.slots, candidates=self._few if candidates else None,
            )  # fmt: skip
            ids = np.random.default_rng(0).integers(100, min(5000, decoder.vocab_size), options.context)
            for row in range(batch):
                decoder.adapters.load(row, None if active is None else active[row % len(active)])
                decoder.prefill(row, ids)
            samplers = [Sampler(Sampling(), [], decoder.vocab_size) for _ in range(batch)]
            tokens, chosen_tokens = np.full(batch, 5), []
            taken, chosen = [], []
            for _ in range(options.steps):
                start = time.perf_counter()
                decoder.step(tokens)
                middle = time.perf_counter()
                tokens = np.array([sampler.choose(decoder.scores(row)) for row, sampler in enumerate(samplers)])
                taken.append(time.perf_counter() - start)
                chosen.append(time.perf_counter() - middle)
                chosen_tokens += tokens.tolist()
        except MetierError as error:
            return {"failed": str(error), "tokens": []}
        warm = options.steps // 4  # the first steps are captured
        step, choose = statistics.median(taken[warm:]), statistics.median(chosen[warm:])
        return {
            "step_ms": round(step * 1e3, 3), "choose_ms": round(choose * 1e3, 3),
            "tokens_per_second": round(batch / step, 1), "tokens": chosen_tokens,
        }  # fmt: skip


def served(bundle: Any, options: Any) -> dict[str, Any]:
    """Tokens per second of the whole engine: prompts read, requests joined, tokens decoded to text."""
    from metier.decoding.generation import Request
    from metier.runtime import Engine

    rows, found = max(options.batches), {}
    ids = tuple(np.random.default_rng(0).integers(100, 300, 32).tolist())
    with Engine(bundle, device=options.device, rows=rows, max_len=options.context + options.steps + 40) as engine:
        for name, adapter_of in (("base", lambda row: "base"), ("each", lambda row: f"a{row}")):
            for batch in options.batches:
                for _ in range(2):  # the first round captures, and loads the adapters
                    start = time.perf_counter()
                    running = [
                        engine.submit(Request(ids=ids, max_tokens=options.steps, adapter=adapter_of(row)), wait=None)
                        for row in range(batch)
                    ]
                    for generation in running:
                        generation.result()
                    taken = time.perf_counter() - start
                found.setdefault(name, {})[str(batch)] = round(batch * options.steps / taken, 1)
        found["device"] = engine.device_reason
    return found


def providers(bundle: Any, device: str) -> dict[str, int]:
    """Node runs per provider, from a profile of one prompt."""
    import onnxruntime as ort

    graph = bundle.manifest.graph
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.enable_profiling = True
    options.profile_file_prefix = str(bundle.path / "profile")
    wanted = ["CPUExecutionProvider"] if device == "cpu" else ["CUDAExecutionProvider", "CPUExecutionProvider"]
    session = ort.InferenceSession(str(bundle.path / graph.file), options, providers=wanted)
    dtype = np.float16 if graph.io_dtype == "float16" else np.float32
    feeds = {graph.input_ids: np.full((1, 8), 5, np.int64), graph.attention_mask: np.ones((1, 8), np.int64)}
    for layer in range(graph.layers):
        for name in (graph.past_key, graph.past_value):
            feeds[name % layer] = np.zeros((1, graph.kv_heads, 0, graph.head_dim), dtype)
    session.run([graph.logits], feeds)
    events = json.loads(Path(session.end_profiling()).read_text())
    named = (event.get("args", {}).get("provider") for event in events)
    return dict(Counter(name for name in named if name))


def copy_rate() -> float | None:
    """Bytes per second that a copy inside the device reads, measured with torch where it has CUDA."""
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    target.copy_(source)
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(10):
        target.copy_(source)
    torch.cuda.synchronize()
    return round(2 * 10 * (1 << 30) / (time.perf_counter() - start))  # read and written


def device_name() -> str:
    """The name that nvidia-smi reports."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"


def llama_shape(folder: Path) -> Path:
    """A random-weight model of Llama-3.1-8B's shape, in bfloat16, with the default base's tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from metier.bases.resolve import resolve

    if folder.is_dir():
        return folder
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        LlamaForCausalLM(LlamaConfig(**LLAMA_8B, tie_word_embeddings=False)).save_pretrained(folder)
    finally:
        torch.set_default_dtype(before)
    donor = resolve("smollm2-135m").path
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (donor / name).is_file():
            shutil.copyfile(donor / name, folder / name)
    return folder


if __name__ == "__main__":
    sys.exit(main())
