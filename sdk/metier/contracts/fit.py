"""Whether a base can do a task, before anything is trained: modalities, languages, context, licence, knowledge.

It reads cards only; it loads no model and fetches nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import date

from metier.contracts._chains import Chain, shortest
from metier.contracts._judge import (
    judge_bridge_languages,
    judge_context,
    judge_encoder,
    judge_knowledge,
    judge_languages,
    judge_licence,
    judge_modality,
    judge_unmarked_output,
    lengths_of,
)
from metier.contracts.base import Base
from metier.contracts.bridge import Bridge
from metier.contracts.fit_report import Aspect, FitFinding, FitReport, Lengths, Verdict
from metier.contracts.licence import Use
from metier.contracts.modality import Modality
from metier.contracts.reading import Reading, readings, renderings
from metier.contracts.task import TaskContract, TaskKind

__all__ = ["Aspect", "FitFinding", "FitReport", "Lengths", "Verdict", "fit"]


def fit(
    task: TaskContract,
    base: Base,
    bridges: Iterable[Bridge] = (),
    *,
    token_lengths: Sequence[int] | None = None,
    samples_licence: str | None = None,
    use: Use = "commercial",
    languages: Sequence[str] | None = None,
    facts_until: date | None = None,
    search: bool = False,
) -> FitReport:
    """Judge a base for a task.

    Args:
        bridges: those available; one with `run=None` is known by its card and must be installed first.
        token_lengths: tokens of prompt and reply together, per sample, counted with the base's tokenizer.
        samples_licence: of the training samples; None where it is not known yet.
        use: what the result is for; the licences must allow it.
        languages: required ones; the task's own where None or empty.
        facts_until: the day up to which answers need facts, for a task with `fresh_facts`; today where None.
        search: whether the product looks facts up and puts them into the input.
    """
    available = tuple(bridges)
    spoken = tuple(languages or task.spoken_languages)
    findings: list[FitFinding] = []
    into: dict[Modality, tuple[str, ...]] = {}
    out_of: dict[Modality, tuple[str, ...]] = {}
    used: dict[str, Bridge] = {}
    for modality in sorted(task.modalities_in):
        marked = [reading for reading in readings(task.input) if reading.modality == modality]
        chain = _chain(marked, available, {modality}, base.modalities_in)
        findings.append(judge_modality("input", modality, base, base.modalities_in, chain, _package(marked)))
        if chain:
            into[modality] = tuple(bridge.name for bridge in chain)
            used.update({bridge.name: bridge for bridge in chain})
    for modality in sorted(task.modalities_out):
        marked = [rendering for rendering in renderings(task.output) if rendering.target == modality]
        if modality in base.modalities_out or marked:
            chain = _chain(marked, available, base.modalities_out, {modality})
            findings.append(judge_modality("output", modality, base, base.modalities_out, chain, _package(marked)))
        else:  # the runtime renders only a field that names its text
            chain = None
            findings.append(judge_unmarked_output(modality, base))
        if chain:
            out_of[modality] = tuple(bridge.name for bridge in chain)
            used.update({bridge.name: bridge for bridge in chain})
    findings += judge_languages(base, spoken, every=task.kind is TaskKind.TRANSLATE)
    findings += [f for bridge in used.values() for f in judge_bridge_languages(bridge, spoken)]
    lengths = lengths_of(token_lengths)
    findings.append(judge_context(task, base, lengths))
    findings.append(judge_licence(f"base {base.id}", base.licence, use))
    if samples_licence is not None:
        findings.append(judge_licence(f"samples of {task.name}", samples_licence, use))
    findings += [judge_licence(f"bridge {bridge.name}", bridge.licence, use) for bridge in used.values()]
    findings.append(judge_knowledge(task, base, facts_until, search))
    if not base.writes:
        findings.append(judge_encoder(task, base))
    elif not base.chat_template:
        findings.append(
            FitFinding(
                aspect="chat template",
                verdict=Verdict.WARN,
                reason=f"{base.id} has no chat template, so that it was probably not trained to follow a prompt",
                remedy="take its instruct version, or train on more samples",
            )
        )
    order = list(Verdict)
    return FitReport(
        task=task.name,
        base=base.id,
        use=use,
        verdict=max((f.verdict for f in findings), key=order.index),
        findings=tuple(findings),
        bridges_in=into,
        bridges_out=out_of,
        lengths=lengths,
    )


def _chain(
    marked: Sequence[Reading], bridges: Sequence[Bridge], start: Collection[Modality], goal: Collection[Modality]
) -> Chain | None:
    """The chain that the runtime would run for every marked field; None where there is none."""
    suited = [bridge for bridge in bridges if all(reading.suits(bridge) for reading in marked)]
    return shortest(suited, start, goal)


def _package(marked: Sequence[Reading]) -> str | None:
    return next((reading.package for reading in marked if reading.package), None)
