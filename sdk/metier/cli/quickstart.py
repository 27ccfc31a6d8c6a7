"""`metier quickstart`: adapt, evaluate, export and run without torch, on a trade's packaged samples.

Every step is one call of the public API; a step whose result exists already is skipped.
"""

from __future__ import annotations

import json as jsonlib
import math
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metier.contracts import UsageError, Value
from metier.terminal.before_after import before_after
from metier.terminal.options import BaseName, Json, PrecisionOption, Set
from metier.terminal.progress import Tick, progress, training_tick
from metier.terminal.screen import emit_json, note, say

if TYPE_CHECKING:
    from metier.bases import LocalBase
    from metier.contracts import Check, FineTune, Sample, TaskContract
    from metier.contracts.bundle import Precision
    from metier.evaluate import Evaluation

SHOWN = 2
"""Answers printed at the end, of each language."""
SAMPLE_PASSES = 192
"""Samples times epochs that a quickstart trains on: some minutes on two cores, for any trade."""
MEASURED = 24
"""Inputs that it measures by default, for the same reason; `metier evaluate` takes them all."""

_WITHOUT_TORCH = (
    "import sys; sys.modules.update(dict.fromkeys(('torch', 'transformers', 'peft'))); "
    "from metier.cli import main; main()"
)
"""Importing any of the three raises, so that the bundle runs as in a product without them."""


def quickstart(
    trade: Annotated[
        str, typer.Argument(metavar="TRADE", help="A vertical with packaged samples, or one of its tasks.")
    ] = "adcopy",
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where all results go.")] = Path("quickstart"),
    base: BaseName = None,
    set: Set = None,
    precision: PrecisionOption = None,
    limit: Annotated[
        int, typer.Option(min=1, envvar="METIER_LIMIT", help="Measure on this many inputs only.")
    ] = MEASURED,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over instead of resuming.")] = False,
    json: Json = False,
) -> None:
    """Adapt, measure, export and run a trade in one command. On its main task, or the named one."""
    from metier.adapt import adapt
    from metier.bases import resolve
    from metier.data.training import first_inputs, training_data
    from metier.plugins import load_plugins
    from metier.training import recipe_for

    registry = load_plugins()
    vertical, (contract, *_) = registry.tasks(trade)
    seconds: dict[str, float] = {}
    with progress(json) as tick:
        with _timed(seconds, "base"):
            recipe = recipe_for(vertical, contract.name, None, [*(set or []), *([f"base={base}"] if base else [])])
            local = resolve(recipe.base, sources=tuple(registry.base_sources.values()), progress=tick)
            count = math.ceil(SAMPLE_PASSES / max(recipe.epochs, 1))
            data = training_data(vertical, contract, samples=count, seed=recipe.seed)
        with _timed(seconds, "adapt"):
            tick("loading the base")
            finetune = adapt(
                contract,
                data.train,
                data.held_out,
                recipe,
                out / "run",
                base=local,
                resume=not fresh,
                progress=training_tick(tick),
            )
        with _timed(seconds, "export"):
            _exported(finetune, local, out, precision, tick)
        with _timed(seconds, "evaluate"):
            held_out = first_inputs(data.held_out, limit)
            checks = vertical.checks_for(contract.name)
            evaluation = _evaluated(contract, held_out, data.train, local, finetune, checks, out, tick)
        with _timed(seconds, "run"):
            tick("answering without torch")
            inputs = _shown(contract, data.held_out)
            answers = _run_without_torch(out, inputs)
    if json:
        pairs = [{"input": given, "output": output} for given, output in zip(inputs, answers, strict=True)]
        return emit_json(
            {"seconds": seconds, "copy": pairs, "metrics": evaluation.summary(), "report": str(out / "report.html")}
        )
    say()
    for given, output in zip(inputs, answers, strict=True):
        say(f"  {jsonlib.dumps(given, ensure_ascii=False)}")
        text = contract.text_field and output[contract.text_field]
        say(f"  → {text or jsonlib.dumps(output, ensure_ascii=False)}\n")
    before_after(evaluation)
    note("seconds: " + ", ".join(f"{step} {spent:.0f}" for step, spent in seconds.items()))
    say(f"\nreport: {out / 'report.html'}\nbundle: {out / 'bundle'} (runs without torch)")
    say(
        "next:\n"
        f"  metier run {out / 'bundle'} --input-text {shlex.quote(jsonlib.dumps(inputs[0], ensure_ascii=False))}\n"
        f"  metier adapt {contract.name} --data YOUR_FILE --out runs/mine   # your own samples\n"
        "  README.md: embed the bundle in ten lines; metier new makes a plugin for your own trade"
    )
    return None


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[step] = round(time.perf_counter() - started, 1)


def _evaluated(
    contract: TaskContract,
    held_out: list[Sample],
    train: list[Sample],
    local: LocalBase,
    finetune: FineTune,
    checks: tuple[Check, ...],
    out: Path,
    tick: Tick,
) -> Evaluation:
    """The existing evaluation of these weights and inputs, else a new one, written beside the report."""
    from metier.adapt.methods import is_adapter
    from metier.contracts import samples_sha256
    from metier.contracts.documents import read_document
    from metier.evaluate import Evaluation, EvaluationOptions, evaluate, record_metrics, write_html, write_json

    page = out / "report.html"
    if page.is_file() and page.with_suffix(".json").is_file():
        known = read_document(Evaluation, page.with_suffix(".json"), remedy=f"delete {page.with_suffix('.json')}")
        same = known.fine_tune is not None and known.fine_tune.weights_sha256 == finetune.card.weights_sha256
        if same and known.held_out_sha256 == samples_sha256(held_out):
            return known
    # On CPU the bundle answers several times faster than torch, and it is what ships. Other methods' weights have no
    # slots, and their base is not in the bundle.
    slotted = is_adapter(finetune.card.recipe)
    evaluation = evaluate(
        contract,
        held_out,
        base=local,
        finetune=finetune,
        bundle=out / "bundle" if slotted else None,
        train=train,
        checks=checks,
        options=EvaluationOptions(runtime="onnx" if slotted else "torch"),
        progress=tick,
    )
    record_metrics(finetune, evaluation)
    # The JSON is what a later run reads, so it comes last: the page beside it then has the same figures.
    write_html(evaluation, page)
    write_json(evaluation, page.with_suffix(".json"))
    return evaluation


def _exported(finetune: FineTune, local: LocalBase, out: Path, precision: Precision | None, tick: Tick) -> None:
    from metier.adapt.methods import is_adapter
    from metier.bases import load_finetune
    from metier.export import export, export_slots
    from metier.export.precision import default_precision
    from metier.runtime.bundle import read_manifest

    folder = out / "bundle"
    if folder.is_dir():
        known = read_manifest(folder)
        cards = [known.card, *(entry.card for entry in known.named)]
        same = any(card is not None and card.weights_sha256 == finetune.card.weights_sha256 for card in cards)
        if same and known.precision == (precision or default_precision(local.card, "cpu")):
            return
    found = load_finetune(finetune.path)
    if is_adapter(found.card.recipe):
        export_slots([found], folder, precision=precision, target="cpu", base=local, progress=tick)
    else:
        export(found, folder, precision=precision, target="cpu", base=local, progress=tick)


def _shown(contract: TaskContract, held_out: list[Sample]) -> list[Value]:
    """The inputs whose answers are printed: the first of each language, in the contract's order."""
    from metier.data.training import first_inputs

    inputs = [sample.input for sample in first_inputs(held_out, len(held_out))]
    return [
        input
        for language in contract.languages
        for input in [each for each in inputs if contract.language_of(each) == language][:SHOWN]
    ]


def _run_without_torch(out: Path, inputs: list[Value]) -> list[Value]:
    given, written = out / "facts.jsonl", out / "copy.jsonl"
    given.write_text("".join(jsonlib.dumps(value, ensure_ascii=False) + "\n" for value in inputs), "utf-8")
    command = ["run", str(out / "bundle"), "--input", str(given), "--output", str(written)]
    done = subprocess.run([sys.executable, "-c", _WITHOUT_TORCH, *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UsageError(f"running the bundle failed: {done.stderr.strip()}", where=str(out / "bundle"))
    return [jsonlib.loads(line) for line in written.read_text("utf-8").split("\n") if line]
