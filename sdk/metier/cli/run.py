"""`metier run`: a bundle answers a file of inputs, in order, or one input, streamed. Loads no torch."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metier.contracts import Bridge, Check, MetierError, TaskContract, UsageError, Value, readings
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
        Path | None, typer.Option("--input", metavar="FILE", help="JSONL, one input a line, or .json; - is stdin.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", metavar="FILE", help="JSONL, one answer a line, in order; - is stdout.")
    ] = STANDARD,
    input_text: Annotated[
        str | None, typer.Option(help="One input: JSON, or plain text where the task needs one field.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="Task to run, where the bundle has several.")] = None,
    adapter: Annotated[
        str | None, typer.Option(help="LoRA adapter or head; the one trained for the task where not given.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads; the machine's cores where not given.")] = None,
    rows: Annotated[int, typer.Option(help="Inputs answered at once.")] = 8,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy, the default.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Sample among the k likeliest tokens.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Sample among the likeliest tokens of this total.")] = None,
    repetition_penalty: Annotated[float | None, typer.Option(help="Above 1 discourages repeats.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of sampling.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="End the answer before this text; may be repeated.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="Longest answer; the task's own limit where not given.")
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Hold answers to the installed plugin's checks; rows say what they find."),
    ] = False,
    retries: Annotated[
        int | None, typer.Option(min=0, help="With --check: further tries where a check finds something.  [default: 2]")
    ] = None,
    json: Json = False,
) -> None:
    """Answer inputs with a bundle. On ONNX Runtime; one input alone is streamed to the terminal."""
    from metier.runtime.bundle import open_bundle, read_manifest

    if input is not None and input_text is not None:
        raise UsageError("--input and --input-text exclude each other", remedy="give one of them")
    if retries is not None and not check:
        raise UsageError("--retries needs --check", remedy="add --check, or leave --retries out")
    lines = read_inputs(input) if input is not None else []
    contract = _task(read_manifest(bundle).every_task, task)
    guard = {"checks": _checks(contract), "retries": 2 if retries is None else retries} if check else None
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
    if any(read.field not in each for read in readings(contract.input) for each in inputs or [value or {}]):
        from metier.plugins import load_plugins

        bridges = tuple(load_plugins().bridges.values())

    from metier.runtime import Engine  # onnxruntime loads here, after everything that the user can mend was looked at

    if value is not None:
        with Engine(open_bundle(bundle), device=device, threads=threads, rows=1, bridges=bridges) as engine:
            return _one(engine, contract, value, sampling, guard, json)
    with Engine(open_bundle(bundle), device=device, threads=threads, rows=rows, bridges=bridges) as engine:
        note(f"{contract.name} on {engine.device}, {len(inputs)} inputs")
        for read in readings(contract.input) if bridges else ():
            way = " → ".join(bridge.name for bridge in read.chain(bridges) or ())
            note(f"{read.source} → {way} → {read.field}, where an input brings no {read.field}")
        with output_file(output) as file, progress(json) as tick:
            answers = _answers(engine, contract, inputs, sampling, guard)
            for done, (where, _) in enumerate(lines, 1):
                with _placed(where):
                    answer = next(answers)
                file.write(jsonlib.dumps(answer, ensure_ascii=False) + "\n")
                tick("answering", done, len(inputs))
    if json and output != STANDARD:
        emit_json({"task": contract.name, "answers": len(inputs), "output": str(output), "device": engine.device})
    return None


def _one(
    engine: Engine, task: TaskContract, value: Value, sampling: dict[str, Any], guard: dict[str, Any] | None, json: bool
) -> None:
    if guard is not None:
        from metier.prompting.reply import encode_reply

        answer = engine.answer(task.name, value, **guard, **sampling)
        if json:
            return emit_json(answer)
        say(encode_reply(task.for_input(value), answer.output))
        tries = "one try" if answer.attempts == 1 else f"the best of {answer.attempts} tries"
        note(f"{tries}: " + ("every check passed" if answer.passed else "the checks found"))
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
    engine: Engine, task: TaskContract, inputs: list[Value], sampling: dict[str, Any], guard: dict[str, Any] | None
) -> Iterator[Any]:
    """Outputs, or whole answers where they are checked, as plain JSON data."""
    if guard is None:
        yield from engine.run_many(task.name, inputs, **sampling)
    else:
        for answer in engine.answer_many(task.name, inputs, **guard, **sampling):
            idle = {"id"} if answer.probabilities else {"id", "probabilities"}  # nothing is recorded here
            yield answer.model_dump(mode="json", exclude=idle)


def _checks(task: TaskContract) -> tuple[Check, ...]:
    """The checks of the installed plugin whose task the bundle does."""
    from metier.plugins import load_plugins

    vertical = load_plugins().verticals.get(task.vertical)
    if vertical is None:
        raise UsageError(
            f"--check: no installed plugin brings the trade {task.vertical}, and a bundle carries no checks",
            remedy="install the trade's plugin (metier plugins lists what there is), or run without --check",
        )
    if not (checks := vertical.checks_for(task.name)):
        raise UsageError(f"--check: {task.vertical} has no check for {task.name}", remedy="run without --check")
    return checks


@contextmanager
def _placed(where: str) -> Iterator[None]:
    """Give an error about one answer the place of its input."""
    try:
        yield
    except MetierError as error:
        raise type(error)(error.what, where=error.where or where, remedy=error.remedy) from error


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
