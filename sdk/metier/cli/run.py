"""`metier run`: a bundle answers a file of inputs, in order, or one input, streamed. Loads no torch."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metier.contracts import Answer, Bridge, Check, MetierError, TaskContract, UsageError, Value, readings, renderings
from metier.terminal.jsonl import STANDARD, check_inputs, input_of, output_file, read_inputs
from metier.terminal.options import Json
from metier.terminal.progress import progress
from metier.terminal.screen import emit_json, note, say

if TYPE_CHECKING:
    from metier.runtime import Engine

BundleFolder = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder that `metier export` wrote.")]


def run(
    bundle: BundleFolder,
    input: Annotated[
        Path | None, typer.Option("--input", metavar="FILE", help="JSONL, one input per line, or .json; - is stdin.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", metavar="FILE", help="JSONL, one output per line, in order; - is stdout.")
    ] = STANDARD,
    input_text: Annotated[
        str | None, typer.Option(help="One input: JSON, or plain text where the task needs one field.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="Task to run, where the bundle has several.")] = None,
    adapter: Annotated[
        str | None, typer.Option(help="LoRA adapter or head; by default the one trained for the task.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads; by default one per core.")] = None,
    rows: Annotated[int, typer.Option(help="Inputs answered at once.")] = 8,
    temperature: Annotated[float | None, typer.Option(help="0 (greedy) by default.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Sample among the k likeliest tokens.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Sample among the likeliest tokens of this total.")] = None,
    repetition_penalty: Annotated[float | None, typer.Option(help="Above 1 discourages repeats.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of sampling.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="End the answer before this text; may be repeated.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="Tokens of the longest reply; by default the task's own limit.")
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Run the installed plugin's checks on answers; rows list the findings."),
    ] = False,
    retries: Annotated[
        int | None,
        typer.Option(min=0, help="With --check: further attempts while a check finds something.  [default: 2]"),
    ] = None,
    json: Json = False,
) -> None:
    """Answer inputs with a bundle, on ONNX Runtime. A single input is streamed to the terminal."""
    from metier.runtime.bundle import open_bundle, read_manifest

    if input is not None and input_text is not None:
        raise UsageError("--input and --input-text exclude each other", remedy="give one of them")
    if retries is not None and not check:
        raise UsageError("--retries needs --check", remedy="add --check, or leave --retries out")
    lines = read_inputs(input) if input is not None else []
    contract = _task(read_manifest(bundle).every_task, task)
    checking = {"checks": _checks(contract), "retries": 2 if retries is None else retries} if check else None
    inputs = check_inputs(contract, lines)
    given = {
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "repetition_penalty": repetition_penalty,
        "seed": seed,
        "stop": tuple(stop) if stop else None,
        "max_tokens": max_tokens,
        "adapter": adapter,
    }
    sampling = {key: value for key, value in given.items() if value is not None}
    value = input_of(contract, input_text if input_text is not None else _stdin()) if input is None else None

    bridges: tuple[Bridge, ...] = ()
    unfilled = any(read.field not in each for read in readings(contract.input) for each in inputs or [value or {}])
    if unfilled or renderings(contract.output):
        from metier.plugins import load_plugins

        bridges = tuple(load_plugins().bridges.values())

    from metier.runtime import Engine  # onnxruntime loads here, after everything that the user can fix was checked

    if value is not None:
        with Engine(open_bundle(bundle), device=device, threads=threads, rows=1, bridges=bridges) as engine:
            return _one(engine, contract, value, sampling, checking, json)
    with Engine(open_bundle(bundle), device=device, threads=threads, rows=rows, bridges=bridges) as engine:
        note(f"{contract.name} on {engine.device}, {len(inputs)} inputs")
        for filled in (*readings(contract.input), *renderings(contract.output)) if bridges else ():
            chain = " → ".join(bridge.name for bridge in filled.chain(bridges) or ())
            note(f"{filled.source} → {chain} → {filled.field}, where {filled.field} is missing")
        with output_file(output) as file, progress(json) as tick:
            answers = _answers(engine, contract, inputs, sampling, checking)
            for done, (where, _) in enumerate(lines, 1):
                with _placed(where, done):
                    answer = next(answers)
                file.write(jsonlib.dumps(answer, ensure_ascii=False) + "\n")
                tick("answering", done, len(inputs))
    if json and output != STANDARD:
        emit_json({"task": contract.name, "answers": len(inputs), "output": str(output), "device": engine.device})
    return None


def _one(
    engine: Engine,
    task: TaskContract,
    value: Value,
    sampling: dict[str, Any],
    checking: dict[str, Any] | None,
    json: bool,
) -> None:
    if checking is not None:
        from metier.prompting.reply import encode_reply

        answer = engine.answer(task.name, value, **checking, **sampling)
        if json:
            return emit_json(_row(answer))
        say(encode_reply(task.for_input(value), answer.output))
        attempts = "one attempt" if answer.attempts == 1 else f"the best of {answer.attempts} attempts"
        note(f"{attempts}: " + ("every check passed" if answer.passed else "the checks found"))
        for name, found in answer.findings.items():
            for finding in found:
                note(f"  {name}: {finding.message}" + (f" ({finding.rule})" if finding.rule else ""))
        return None
    if json:
        return emit_json(engine.run(task.name, value, **sampling))
    for piece in engine.stream(task.name, value, **sampling):
        sys.stdout.write(piece)
        sys.stdout.flush()
    return say()


def _answers(
    engine: Engine, task: TaskContract, inputs: list[Value], sampling: dict[str, Any], checking: dict[str, Any] | None
) -> Iterator[Any]:
    """Outputs as plain JSON data, with what the checks found where there are checks."""
    if checking is None:
        yield from engine.run_many(task.name, inputs, **sampling)
    else:
        for answer in engine.answer_many(task.name, inputs, **checking, **sampling):
            yield _row(answer)


def _row(answer: Answer) -> dict[str, Any]:
    """The part of an answer that its reader does not have yet, as plain JSON data."""
    dumped = answer.model_dump(mode="json")
    likely = {"probabilities": dumped["probabilities"]} if answer.probabilities else {}
    judged = {name: dumped[name] for name in ("findings", "attempts", "adapter", "finish_reason")}
    return {"output": answer.output, "passed": answer.passed, **judged, **likely}


def _checks(task: TaskContract) -> tuple[Check, ...]:
    """The installed plugin's checks for the task."""
    from metier.plugins import load_plugins

    vertical = load_plugins().verticals.get(task.vertical)
    if vertical is None:
        raise UsageError(
            f"--check: no installed plugin has the trade {task.vertical}, and a bundle contains no checks",
            remedy="install the trade's plugin (metier plugins lists the installed ones), or run without --check",
        )
    if not (checks := vertical.checks_for(task.name)):
        raise UsageError(f"--check: {task.vertical} has no check for {task.name}", remedy="run without --check")
    return checks


@contextmanager
def _placed(where: str, row: int) -> Iterator[None]:
    """Give an error about one row the place of its input in the user's file."""
    try:
        yield
    except MetierError as error:
        own = (error.where or "").removeprefix(f"row {row}").removeprefix(", ")
        raise type(error)(error.what, where=f"{where}, {own}" if own else where, remedy=error.remedy) from error


def _stdin() -> str:
    if sys.stdin.isatty():
        raise UsageError("there is no input", remedy="give --input FILE, --input-text TEXT, or pipe one input in")
    return sys.stdin.read()


def _task(tasks: tuple[TaskContract, ...], name: str | None) -> TaskContract:
    from metier.contracts.nearest import did_you_mean

    names = [task.name for task in tasks]
    if name is None and len(tasks) == 1:
        return tasks[0]
    if name in names:
        return tasks[names.index(name)]
    wrong = f"the bundle has no task {name}{did_you_mean(name, names)}" if name else "the bundle has several tasks"
    raise UsageError(wrong, remedy=f"name one with --task: {', '.join(names)}")
