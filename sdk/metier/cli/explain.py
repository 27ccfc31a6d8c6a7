"""`metier explain`: what a base or fine-tune looked at when it wrote a reply, as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metier.contracts import TaskContract, UsageError, Value
from metier.terminal.jsonl import check_inputs, input_of, read_inputs
from metier.terminal.options import Json, tasks_of
from metier.terminal.progress import progress
from metier.terminal.screen import emit_json, say

if TYPE_CHECKING:
    from metier.explain import Explanation


def explain(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder that `metier adapt` wrote.")],
    input: Annotated[
        str | None,
        typer.Option(
            metavar="INPUT",
            help="One input: JSON, plain text where the task needs one field, or a .json or .jsonl file, of which the "
            "first is taken.  [default: the first held-out sample]",
        ),
    ] = None,
    task: Annotated[str | None, typer.Option(help="Task, where the run has several.")] = None,
    reply: Annotated[
        str | None, typer.Option(help="Explain this text instead of the reply that the model writes.")
    ] = None,
    base: Annotated[bool, typer.Option("--base", help="Look into the base, without the fine-tune.")] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Page to write.  [default: RUN/explain.html]")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens of the longest reply.")] = 64,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    json: Json = False,
) -> None:
    """Show what a model attended to, as an HTML page. By layer and head, as rollout, and as attribution.

    Writes one HTML file that loads nothing from anywhere.
    """
    from metier.bases import load_finetune, resolve
    from metier.bases.hardware import choose_device
    from metier.explain import explain as look_inside
    from metier.explain import write_page
    from metier.explain.models import text_model

    finetune = load_finetune(run, produces=None)
    contract, *others = tasks_of(finetune, [task] if task else None)
    if others and task is None:
        names = ", ".join(each.name for each in finetune.card.tasks)
        raise UsageError("the run has several tasks", where=str(run), remedy=f"name one with --task: {names}")
    value, language = _input(run, contract, input)
    with progress(json) as tick:
        local = resolve(finetune.card.base.id, revision=finetune.card.base.revision, progress=tick)
        tick("loading the model")
        model = text_model(contract, local, None if base else finetune, device=choose_device(device))
        if reply is None:
            tick("writing the reply")
            (answer,) = model.predict([value], [language], max_tokens=max_tokens)
            reply = answer.text
        found = look_inside(
            model.model,
            model.tokenizer,
            contract,
            value,
            reply=reply,
            title=local.card.id if base else finetune.card.name,
            language=language,
            on_done=lambda done, total: tick("attributing words", done, total),
        )
    page = write_page(found, html or run / "explain.html")
    if json:
        return emit_json(_figures(found, reply, page))
    say(reply)
    for word, score in _strongest(found):
        say(f"  {score:+7.2f}  {word}")
    return say(f"page: {page}")


def _input(run: Path, task: TaskContract, given: str | None) -> tuple[Value, str | None]:
    """The input, and the language of its prompt where a sample states one."""
    if given is None:
        from metier.data.training import held_out_of

        samples = [sample for sample in held_out_of(run) if sample.task == task.name]
        if not samples:
            raise UsageError(f"the run has no held-out sample of {task.name}", remedy="give an input with --input")
        return samples[0].input, samples[0].language
    if given.endswith((".json", ".jsonl")) and not given.lstrip().startswith("{"):
        lines = read_inputs(Path(given))[:1]
        if not lines:
            raise UsageError("the file has no input", where=given, remedy="write one JSON object a line")
        return check_inputs(task, lines)[0], None
    return input_of(task, given), None


def _strongest(found: Explanation) -> list[tuple[str, float]]:
    """The words of the input that spoke most for the whole reply, or against it."""
    totals = found.attribution.sum(0)
    pairs = [(w.text.strip(), float(t)) for w, t in zip(found.words, totals, strict=True) if w.role == "user"]
    return sorted((pair for pair in pairs if pair[0]), key=lambda pair: -abs(pair[1]))[:8]


def _figures(found: Explanation, reply: str, page: Path) -> dict[str, object]:
    return {
        "task": found.task,
        "model": found.title,
        "reply": reply,
        "words": [{"text": word.text, "role": word.role} for word in found.words],
        "attribution": found.attribution.tolist(),
        "rollout": found.rollout.tolist(),
        "log_probability": found.log_probability.tolist(),
        "page": str(page),
    }
