"""Whether a base can do a task at all, said before anything is trained: modalities, languages, context, licence,
knowledge. It reads cards only; it loads no model and fetches nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from enum import StrEnum
from math import ceil
from typing import Literal

from metier.contracts._chains import Chain, shortest
from metier.contracts.base import Base
from metier.contracts.bridge import Bridge
from metier.contracts.licence import Terms, Use, terms_of
from metier.contracts.modality import Modality
from metier.contracts.schema import SCHEMA_VERSION, Data
from metier.contracts.task import TaskContract


class Verdict(StrEnum):
    """How well one aspect, or the whole, fits."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


Aspect = Literal["input", "output", "language", "context", "licence", "knowledge", "chat template"]


class FitFinding(Data):
    """One aspect judged."""

    aspect: Aspect
    verdict: Verdict
    reason: str
    remedy: str | None = None
    """What to do; None where nothing needs doing."""


class Lengths(Data):
    """Token lengths of samples, prompt and reply together; percentiles by nearest rank."""

    samples: int
    p50: int
    p95: int
    p99: int
    max: int


class FitReport(Data):
    """Whether a base fits a task, aspect by aspect."""

    schema_version: Literal["1"] = SCHEMA_VERSION
    task: str
    base: str
    use: Use
    verdict: Verdict
    """The worst of the findings'."""
    findings: tuple[FitFinding, ...]
    bridges_in: dict[Modality, tuple[str, ...]] = {}
    """Input modality → names of the bridges that bring it to the base, in order."""
    bridges_out: dict[Modality, tuple[str, ...]] = {}
    """Output modality → names of the bridges that make it of what the base gives, in order."""
    lengths: Lengths | None = None


def fit(
    task: TaskContract,
    base: Base,
    bridges: Iterable[Bridge] = (),
    *,
    token_lengths: Sequence[int] | None = None,
    use: Use = "commercial",
    languages: Sequence[str] | None = None,
    facts_until: date | None = None,
    search: bool = False,
) -> FitReport:
    """Judge a base for a task.

    Args:
        bridges: those at hand; one with `run=None` is known by its card and must be installed first.
        token_lengths: tokens of prompt and reply together, per sample, counted with the base's tokenizer.
        use: what the result is for, against the licences.
        languages: those that matter; the task's own where None or empty.
        facts_until: the day up to which answers need facts, for a task with `fresh_facts`; today's where None.
        search: whether the product looks facts up and puts them into the input.
    """
    at_hand = tuple(bridges)
    spoken = tuple(languages or task.languages)
    findings: list[FitFinding] = []
    into: dict[Modality, tuple[str, ...]] = {}
    out_of: dict[Modality, tuple[str, ...]] = {}
    used: dict[str, Bridge] = {}
    for side, needed in (("input", task.modalities_in), ("output", task.modalities_out)):
        able = base.modalities_in if side == "input" else base.modalities_out
        for modality in sorted(needed):
            if side == "input":
                chain = shortest(at_hand, frozenset({modality}), able)
            else:
                chain = shortest(at_hand, able, frozenset({modality}))
            findings.append(_modality("input" if side == "input" else "output", modality, base, able, chain))
            if chain:
                (into if side == "input" else out_of)[modality] = tuple(bridge.name for bridge in chain)
                used.update({bridge.name: bridge for bridge in chain})
    findings += _languages(base, spoken)
    findings += [f for bridge in used.values() for f in _bridge_languages(bridge, spoken)]
    lengths = _lengths(token_lengths)
    findings.append(_context(task, base, lengths))
    findings.append(_licence(f"base {base.id}", base.licence, use))
    findings += [_licence(f"bridge {bridge.name}", bridge.licence, use) for bridge in used.values()]
    findings.append(_knowledge(task, base, facts_until, search))
    if not base.chat_template:
        findings.append(
            FitFinding(
                aspect="chat template",
                verdict=Verdict.WARN,
                reason=f"{base.id} has no chat template, so that it was probably never taught to follow a prompt",
                remedy="take its instruct version, or expect to need more samples",
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


def _modality(
    side: Literal["input", "output"], modality: Modality, base: Base, able: frozenset[Modality], chain: Chain | None
) -> FitFinding:
    verb = "takes" if side == "input" else "gives"
    has = ", ".join(sorted(able)) or "nothing"
    if chain == ():
        return FitFinding(aspect=side, verdict=Verdict.OK, reason=f"{base.id} {verb} {modality}")
    if chain is None:
        step = f"{modality}→{sorted(able)[0]}" if side == "input" else f"{sorted(able)[0]}→{modality}"
        return FitFinding(
            aspect=side,
            verdict=Verdict.FAIL,
            reason=f"the task's {side} has {modality}, {base.id} {verb} {has}, and no bridge closes the gap",
            remedy=f"install a plugin that brings a bridge {step}, or take a base that {verb} {modality}",
        )
    path = ", then ".join(f"{b.name} ({b.source}→{b.target})" for b in chain)
    if missing := [bridge for bridge in chain if bridge.run is None]:
        packages = " ".join(dict.fromkeys(bridge.package or bridge.name for bridge in missing))
        return FitFinding(
            aspect=side,
            verdict=Verdict.FAIL,
            reason=f"{base.id} {verb} {has}; {modality} would go through {path}, which is not installed",
            remedy=f"pip install {packages}",
        )
    return FitFinding(aspect=side, verdict=Verdict.OK, reason=f"{base.id} {verb} {has}; {modality} goes through {path}")


def _languages(base: Base, spoken: Sequence[str]) -> list[FitFinding]:
    if not base.languages:
        return [
            FitFinding(
                aspect="language",
                verdict=Verdict.WARN,
                reason=f"{base.id}'s card names no languages; the task needs {', '.join(spoken)}",
                remedy="look at its model card, and compare held-out scores per language",
            )
        ]
    findings = []
    for rank, language in enumerate(spoken):
        if _speaks(base.languages, language):
            findings.append(FitFinding(aspect="language", verdict=Verdict.OK, reason=f"{base.id} knows {language}"))
            continue
        others = [other for other in spoken if _speaks(base.languages, other)]
        findings.append(
            FitFinding(
                aspect="language",
                # A task is prompted in its first language unless asked otherwise, so that only that one is fatal.
                verdict=Verdict.FAIL if rank == 0 or not others else Verdict.WARN,
                reason=f"the task speaks {language}; {base.id} knows {', '.join(base.languages)}",
                remedy=f"take a base that knows {language}"
                + (f", or use the task in {', '.join(others)} only" if others else ""),
            )
        )
    return findings


def _bridge_languages(bridge: Bridge, spoken: Sequence[str]) -> list[FitFinding]:
    lost = [language for language in spoken if bridge.languages and not _speaks(bridge.languages, language)]
    if not lost:
        return []
    return [
        FitFinding(
            aspect="language",
            verdict=Verdict.FAIL if spoken[0] in lost else Verdict.WARN,
            reason=f"bridge {bridge.name} knows {', '.join(bridge.languages)}, not {', '.join(lost)}",
            remedy=f"use a bridge {bridge.source}→{bridge.target} that knows {', '.join(lost)}",
        )
    ]


def _speaks(known: Sequence[str], wanted: str) -> bool:
    """Whether a BCP 47 tag is among those known, by its primary subtag: zh-Hans is spoken by who speaks zh."""
    return wanted.split("-")[0].lower() in {tag.split("-")[0].lower() for tag in known}


def _lengths(token_lengths: Sequence[int] | None) -> Lengths | None:
    if not token_lengths:
        return None
    ranked = sorted(token_lengths)

    def at(share: float) -> int:
        return ranked[max(0, ceil(share * len(ranked)) - 1)]

    return Lengths(samples=len(ranked), p50=at(0.5), p95=at(0.95), p99=at(0.99), max=ranked[-1])


def _context(task: TaskContract, base: Base, lengths: Lengths | None) -> FitFinding:
    room = base.context_length
    if task.max_reply_tokens >= room:
        return FitFinding(
            aspect="context",
            verdict=Verdict.FAIL,
            reason=f"a reply may take {task.max_reply_tokens} tokens, {base.id} holds {room}, prompt included",
            remedy="take a base with a longer context, or lower the task's max_reply_tokens",
        )
    if lengths is None:
        return FitFinding(
            aspect="context",
            verdict=Verdict.WARN,
            reason=f"{base.id} holds {room} tokens; the samples' lengths are not known",
            remedy="measure with samples: metier fit TASK --data FILE",
        )
    said = (
        f"{lengths.samples} samples: half within {lengths.p50} tokens, 95% within {lengths.p95}, longest {lengths.max}"
    )
    if lengths.max <= room:
        return FitFinding(aspect="context", verdict=Verdict.OK, reason=f"{base.id} holds {room} tokens; {said}")
    return FitFinding(
        aspect="context",
        verdict=Verdict.FAIL if lengths.p95 > room else Verdict.WARN,
        reason=f"{base.id} holds {room} tokens, not enough for all; {said}",
        remedy="take a base with a longer context, or shorten the longest inputs",
    )


_LICENCES: dict[Terms, tuple[dict[Use, Verdict], str, str | None]] = {
    Terms.PERMISSIVE: ({}, "permissive", None),
    Terms.SHARE_ALIKE: (
        {"commercial": Verdict.WARN},
        "share-alike: what is made from it and handed on must carry the same licence",
        "ship the fine-tune and bundle under that licence, or take a permissive base",
    ),
    Terms.CUSTOM: (
        {"commercial": Verdict.WARN, "internal": Verdict.WARN, "research": Verdict.WARN},
        "a licence of its own, with conditions on use",
        "read its terms on use, users and naming, and let whoever answers for the product agree",
    ),
    Terms.UNKNOWN: (
        {"commercial": Verdict.WARN, "internal": Verdict.WARN, "research": Verdict.WARN},
        "not known here, so that nothing is known to be allowed",
        "find its licence before shipping; an SPDX identifier in the card settles it",
    ),
    Terms.NO_DERIVATIVES: (
        {"commercial": Verdict.FAIL, "internal": Verdict.WARN, "research": Verdict.WARN},
        "no derivatives: a fine-tune of it may not be handed on",
        "take a base whose licence allows derivatives, such as Apache-2.0 or MIT",
    ),
    Terms.NON_COMMERCIAL: (
        {"commercial": Verdict.FAIL, "internal": Verdict.FAIL},
        "non-commercial only",
        "take a base that allows commercial use, such as one under Apache-2.0 or MIT, or buy a licence",
    ),
}


def _licence(what: str, licence: str | None, use: Use) -> FitFinding:
    by_use, said, remedy = _LICENCES[terms_of(licence)]
    verdict = by_use.get(use, Verdict.OK)
    return FitFinding(
        aspect="licence",
        verdict=verdict,
        reason=f"{what}: licence {licence or '(none given)'}, {said}; the use is {use}",
        remedy=remedy if verdict is not Verdict.OK else None,
    )


def _knowledge(task: TaskContract, base: Base, facts_until: date | None, search: bool) -> FitFinding:
    if not task.fresh_facts:
        return FitFinding(aspect="knowledge", verdict=Verdict.OK, reason="the input brings every fact the task needs")
    if search:
        return FitFinding(
            aspect="knowledge", verdict=Verdict.OK, reason="the task needs fresh facts, and search supplies them"
        )
    cutoff = base.knowledge_cutoff
    if cutoff and facts_until and cutoff >= facts_until:
        return FitFinding(
            aspect="knowledge",
            verdict=Verdict.OK,
            reason=f"facts are needed up to {facts_until}, {base.id} knows up to {cutoff}",
        )
    known = f"{base.id} knows nothing after {cutoff}" if cutoff else f"{base.id}'s card names no knowledge cut-off"
    return FitFinding(
        aspect="knowledge",
        verdict=Verdict.WARN,
        reason=f"the task needs facts up to {facts_until or 'the day of asking'}; {known}",
        remedy="look facts up and put them into the input (search), or take a base with a later cut-off",
    )
