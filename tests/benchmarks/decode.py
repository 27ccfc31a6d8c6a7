"""How fast one request is decoded: this runtime against transformers, onnxruntime-genai and llama-cpp-python.

    python tests/benchmarks/decode.py [--json] [--base smollm2-135m] [--tokens 128] [--repeat 5] [--gguf FILE]

Batch 1, greedy, one prompt, the same weights, all systems interleaved in one run, so that a machine that slows down
slows all alike. A system's figure is its median. This runtime and onnxruntime-genai run the very same files; the
end token is ignored everywhere, so that each makes as many tokens.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

PROMPT = "Write a long story about a fox and a hen on a farm, with a beginning, a middle and an end."

System = Callable[[], list[int]]


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--base", default="smollm2-135m")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--gguf", type=Path, help="the base as GGUF Q4, for llama-cpp-python")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        result = measure(options.base, Path(scratch), options.tokens, options.repeat, options.gguf)
    if options.json:
        json.dump(result, sys.stdout, indent=1)
        print()
        return
    for row in result["systems"]:
        print(f"{row['system']:24} {row['precision']:6} {row['tokens_per_second']:8.1f} tokens/s   {row['spread']}")
    for name, value in result["ratios"].items():
        print(f"{name}: {value:.2f}")
    for name, reason in result["skipped"].items():
        print(f"skipped {name}: {reason}")


def measure(base: str, scratch: Path, tokens: int, repeat: int, gguf: Path | None) -> dict[str, Any]:
    """Every system's tokens per second, and the ratios that are promised."""
    from metier.bases.resolve import resolve
    from metier.decoding.tokenizer import ChatTokenizer

    local = resolve(base)
    tokenizer = ChatTokenizer.load(local.path)
    ids = tokenizer.encode(tokenizer.render([{"role": "user", "content": PROMPT}]))
    systems: dict[tuple[str, str], System] = {("transformers eager", "fp32"): _transformers(local.path, ids, tokens)}
    skipped: dict[str, str] = {}
    for precision in ("fp32", "int4"):
        folder = scratch / precision
        graph = _build(local.path, folder, precision)
        systems["metier", precision] = _metier(folder, graph, local.card, precision, ids, tokens)
        try:
            systems["onnxruntime-genai", precision] = _genai(folder, ids, tokens)
        except ImportError as error:
            skipped["onnxruntime-genai"] = str(error)
    try:
        systems["llama-cpp-python", "int4"] = _llama(gguf, ids, tokens)
    except (ImportError, FileNotFoundError) as error:
        skipped["llama-cpp-python"] = str(error)

    times: dict[tuple[str, str], list[float]] = {key: [] for key in systems}
    made: dict[tuple[str, str], list[int]] = {}
    for round_ in range(repeat + 1):  # the first round warms up and does not count
        for key, system in systems.items():
            start = time.perf_counter()
            made[key] = system()
            if round_:
                times[key].append(time.perf_counter() - start)
    speed = {key: tokens / statistics.median(taken) for key, taken in times.items()}
    eager = speed["transformers eager", "fp32"]
    ratios = {f"metier {p} / transformers eager": speed["metier", p] / eager for p in ("fp32", "int4")}
    for name in ("onnxruntime-genai", "llama-cpp-python"):
        for p in ("fp32", "int4"):
            if (name, p) in speed:
                ratios[f"metier {p} / {name} {p}"] = speed["metier", p] / speed[name, p]
    return {
        "benchmark": "decode",
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": {name: version(name) for name in ("torch", "transformers", "numpy")},
        "base": local.card.id,
        "prompt_tokens": len(ids),
        "new_tokens": tokens,
        "systems": [
            {
                "system": name,
                "precision": precision,
                "tokens_per_second": round(speed[name, precision], 1),
                "spread": [round(tokens / t, 1) for t in sorted(times[name, precision], reverse=True)],
                "same_tokens_as_transformers": made[name, precision] == made["transformers eager", "fp32"],
            }
            for name, precision in systems
        ],
        "ratios": {name: round(value, 2) for name, value in ratios.items()},
        "skipped": skipped,
    }


def _build(base: Path, folder: Path, precision: Any) -> Any:
    """The base's graph with the builder's own rounding: what the codes are does not change the speed."""
    import shutil

    from metier.export.decoder_graph import build_graph

    folder.mkdir()
    graph = build_graph(base, folder, precision, "cpu")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        if (base / name).is_file():
            shutil.copyfile(base / name, folder / name)
    return graph


def _metier(folder: Path, graph: Any, card: Any, precision: Any, ids: list[int], tokens: int) -> System:
    from metier.contracts import Manifest
    from metier.decoding.generation import Request
    from metier.runtime import Bundle, ChatTokenizer, Engine

    tokenizer = ChatTokenizer.load(folder)
    tokenizer.eos_ids = (-1,)
    manifest = Manifest(
        name="benchmark", created=datetime.now(UTC), base=card, licence=card.licence, precision=precision, target="cpu",
        tasks=(), graph=graph, files={},
    )  # fmt: skip
    engine = Engine(Bundle(folder, manifest, tokenizer))
    request = Request(ids=tuple(ids), max_tokens=tokens)

    def run() -> list[int]:
        generation = engine.submit(request)
        generation.result()
        return generation.ids

    return run


def _transformers(base: Path, ids: list[int], tokens: int) -> System:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager").eval()
    prompt = torch.tensor([ids])

    def run() -> list[int]:
        with torch.inference_mode():
            out = model.generate(
                input_ids=prompt,
                attention_mask=torch.ones_like(prompt),
                max_new_tokens=tokens,
                min_new_tokens=tokens,
                do_sample=False,
            )
        return list(out[0, len(ids) :].tolist())

    return run


def _genai(folder: Path, ids: list[int], tokens: int) -> System:
    import onnxruntime_genai as genai

    config = folder / "genai_config.json"
    values = json.loads(config.read_text())
    values["model"]["eos_token_id"] = values["model"]["vocab_size"] - 1  # an unused id: never ends early
    config.write_text(json.dumps(values))
    model = genai.Model(str(folder))

    def run() -> list[int]:
        params = genai.GeneratorParams(model)
        params.set_search_options(max_length=len(ids) + tokens, do_sample=False)
        generator = genai.Generator(model, params)
        generator.append_tokens(ids)
        made: list[int] = []
        while len(made) < tokens and not generator.is_done():
            generator.generate_next_token()
            made.append(int(generator.get_next_tokens()[0]))
        return made

    return run


def _llama(gguf: Path | None, ids: list[int], tokens: int) -> System:
    try:
        from llama_cpp import Llama
    except ImportError as error:
        raise ImportError("llama-cpp-python is not installed (it compiles from source)") from error
    if gguf is None:
        raise FileNotFoundError("no --gguf file was given")
    model = Llama(str(gguf), n_ctx=len(ids) + tokens + 8, verbose=False)

    def run() -> list[int]:
        model.reset()
        made: list[int] = []
        for token in model.generate(ids, temp=0.0):
            made.append(token)
            if len(made) == tokens:
                break
        return made

    return run


if __name__ == "__main__":
    main()
