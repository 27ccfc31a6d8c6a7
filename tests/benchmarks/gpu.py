"""The same questions on a GPU: fp16 and int4, the default base and a model of Llama-3.1-8B's shape.

    python tests/benchmarks/gpu.py [--json] [--out FILE] [--rank 8] [--batches 1 8 32] [--models smollm2-135m llama-8b]

For each: decode steps per second of the plain graph, one adapter for all rows, and a different one per row; the share
of the memory-bandwidth limit (bytes of weights and KV that a step must read, over the device's measured copy rate);
CUDA graph on and off, for the plain graph and for a different adapter per row; and which provider really ran each
node, from ONNX Runtime's own profile. The engine itself captures no CUDA graph yet: whether one is worth it, and
whether the graph's few nodes on the CPU allow one, is what this is to find out. Nothing here has run on a GPU so far;
what its fixed shapes compute is tested on the CPU (tests/runtime/test_decoder.py).
Without a CUDA device it prints why it skipped, and ends well. Weights of the 8B model are random: speed does not
depend on them; it takes some 40 GB of memory and disk to build.
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
from pathlib import Path
from typing import Any

import numpy as np
from slot_bundles import build, machine, with_adapters

LLAMA_8B = {
    "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 8192, "rope_theta": 500000.0,
}  # fmt: skip
CONTEXT = 256


def main() -> None:
    """Measure what can be measured here, and print JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--batches", type=int, nargs="+", default=(1, 8, 32))
    parser.add_argument("--precisions", nargs="+", default=("fp16", "int4"))
    parser.add_argument("--models", nargs="+", default=("smollm2-135m", "llama-8b"))
    options = parser.parse_args()
    result = measure(options)
    text = json.dumps(result, indent=1)
    if options.out:
        options.out.write_text(text + "\n")
    print(text)


def measure(options: Any) -> dict[str, Any]:
    """Every model and precision; or the reason why there is nothing to measure."""
    from metier.runtime.device import cuda_missing, driver_version

    result = {"benchmark": "gpu", **machine("onnxruntime-gpu", "numpy"), "rank": options.rank}
    if (missing := cuda_missing()) is not None:
        return {**result, "skipped": missing}
    result |= {"device": device_name(), "driver_cuda": driver_version(), "models": []}
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.models:
            base = llama_shape(Path(scratch) / "llama-8b") if name == "llama-8b" else name
            for precision in options.precisions:
                folder = Path(scratch) / f"{Path(str(base)).name}-{precision}"
                found = one_model(str(base), folder, precision, options)
                result["models"].append({"model": name, "precision": precision, **found})  # type: ignore[union-attr]
                shutil.rmtree(folder)
    return result


def one_model(base: str, folder: Path, precision: str, options: Any) -> dict[str, Any]:
    """Steps of one graph, and who ran it."""
    from metier.runtime.adapter_store import AdapterStore
    from metier.runtime.device import open_session

    plain, slotted = build(base, folder, precision, "cuda")
    slotted = with_adapters(slotted, [options.rank] * max(options.batches))
    store = AdapterStore(slotted.path, slotted.manifest, 1 << 36)
    loras = [store.get(f"a{number}") for number in range(max(options.batches))]
    file = plain.manifest.graph.file
    sessions = {"p": open_session(plain.path / file, "cuda"), "s": open_session(slotted.path / file, "cuda")}
    size = sum(path.stat().st_size for path in plain.path.glob(f"{file}*"))
    rate = copy_rate()
    rows = []
    for batch in options.batches:
        row: dict[str, Any] = {"batch": batch}
        for name, session, wear in (
            ("plain", "p", lambda _: None), ("one", "s", lambda _: loras[0]), ("each", "s", lambda r: loras[r]),
        ):  # fmt: skip
            slots = slotted.manifest.slots if session == "s" else ()
            row[name] = steps(sessions[session], plain.manifest.graph, batch, slots, wear)
        graph = plain.manifest.graph
        kv = batch * CONTEXT * 2 * graph.layers * graph.kv_heads * graph.head_dim * 2
        seconds = batch / row["plain"]["tokens_per_second"]
        if rate:
            row["share_of_bandwidth_limit"] = round((size + kv) / rate / seconds, 3)
        row["retention_each"] = round(row["each"]["tokens_per_second"] / row["plain"]["tokens_per_second"], 3)
        row["cuda_graph_step_ms"] = {
            "plain": cuda_graph(plain, batch),
            "each": cuda_graph(slotted, batch, options.rank),
        }
        rows.append(row)
    return {"weights_bytes": size, "copy_bytes_per_second": rate, "batches": rows, "providers": providers(slotted)}


def steps(opened: Any, graph: Any, batch: int, slots: Any, wear: Any) -> dict[str, float]:
    """Median milliseconds of a decode step, and tokens per second."""
    from metier.runtime.decoder import Decoder

    decoder = Decoder(opened, graph, rows=batch, max_len=CONTEXT + 64, slots=slots)
    ids = np.random.default_rng(0).integers(100, 5000, CONTEXT)
    for row in range(batch):
        decoder.adapters.wear(row, wear(row))
        decoder.prefill(row, ids)
    taken = []
    for _ in range(40):
        start = time.perf_counter()
        decoder.step(np.full(batch, 5))
        taken.append(time.perf_counter() - start)
    median = statistics.median(taken[8:])
    return {"step_ms": round(median * 1e3, 3), "tokens_per_second": round(batch / median, 1)}


def cuda_graph(bundle: Any, batch: int, rank: int = 0) -> dict[str, Any]:
    """Milliseconds of a step with fixed shapes and addresses, captured as a CUDA graph and not; or why it failed."""
    import onnxruntime as ort

    found: dict[str, Any] = {}
    for name, captured in (("off", "0"), ("on", "1")):
        options, run = ort.SessionOptions(), ort.RunOptions()
        options.log_severity_level = 4
        run.add_run_config_entry("gpu_graph_id", "1" if captured == "1" else "-1")  # -1: run as ever
        provider = ("CUDAExecutionProvider", {"enable_cuda_graph": captured})
        try:
            session = ort.InferenceSession(str(bundle.path / bundle.manifest.graph.file), options, providers=[provider])
            binding, keep = bind_fixed(session, bundle.manifest, batch, "cuda", rank)
            for _ in range(4):  # the first runs allocate, the next is captured
                session.run_with_iobinding(binding, run)
            taken = []
            for _ in range(32):
                start = time.perf_counter()
                session.run_with_iobinding(binding, run)
                binding.synchronize_outputs()
                taken.append(time.perf_counter() - start)
            del keep
            found[name] = round(statistics.median(taken) * 1e3, 3)
        except Exception as error:  # onnxruntime raises its own; the reason is the result
            found[name] = str(error).splitlines()[0]
    return found


def bind_fixed(session: Any, manifest: Any, batch: int, device: str, rank: int = 0) -> tuple[Any, list[Any]]:
    """(A binding of the last step that CONTEXT tokens allow, what it points to); the logits' value is the third.

    Every input and output has its own place on the device, the mask its full width, past and present one buffer; with
    a rank, each row has its own LoRA, of random numbers. So nothing moves between steps, which a CUDA graph needs.
    """
    import onnxruntime as ort

    graph, binding = manifest.graph, session.io_binding()
    dtype = np.float16 if graph.io_dtype == "float16" else np.float32
    random = np.random.default_rng(0)
    make = ort.OrtValue.ortvalue_from_numpy
    keep = [
        make(np.full((batch, 1), 5, np.int64), device, 0),
        make(np.ones((batch, CONTEXT), np.int64), device, 0),
        make(np.zeros((batch, 1, graph.vocab_size), dtype), device, 0),
    ]
    binding.bind_ortvalue_input(graph.input_ids, keep[0])
    binding.bind_ortvalue_input(graph.attention_mask, keep[1])
    binding.bind_ortvalue_output(graph.logits, keep[2])
    for layer in range(graph.layers):
        for past, present in ((graph.past_key, graph.present_key), (graph.past_value, graph.present_value)):
            value = make(np.zeros((batch, graph.kv_heads, CONTEXT, graph.head_dim), dtype), device, 0)
            binding.bind_ortvalue_input(past % layer, value)
            binding.bind_ortvalue_output(present % layer, value)
            keep.append(value)
    for slot in manifest.slots if rank else ():
        width = rank * len(slot.parts)
        for name, shape in ((slot.a, (slot.in_features, width)), (slot.b, (width, slot.out_features))):
            array = random.standard_normal((batch, *shape), np.float32) * 0.02
            keep.append(make(array.astype(slot.dtype), device, 0))
            binding.bind_ortvalue_input(name, keep[-1])
    return binding, keep


def providers(bundle: Any) -> dict[str, int]:
    """Node runs per provider, from a profile of one prompt."""
    import onnxruntime as ort

    graph = bundle.manifest.graph
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.enable_profiling = True
    options.profile_file_prefix = str(bundle.path / "profile")
    session = ort.InferenceSession(
        str(bundle.path / graph.file), options, providers=["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
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
    """As nvidia-smi says it."""
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
