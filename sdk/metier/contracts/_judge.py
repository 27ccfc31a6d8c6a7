"""One function per aspect of a fit. Each sees its own aspect only; `fit` combines them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from math import ceil
from typing import Literal

from metier._install import package_command
from metier.contracts._chains import Chain
from metier.contracts.base import Base
from metier.contracts.bridge import Bridge
from metier.contracts.fit_report import FitFinding, Lengths, Verdict
from metier.contracts.licence import Terms, Use, terms_of
from metier.contracts.modality import Modality
from metier.contracts.script import names_language
from metier.contracts.task import HEADED, PASSAGES, TaskContract


def judge_modality(
    side: Literal["input", "output"],
    modality: Modality,
    base: Base,
    able: frozenset[Modality],
    chain: Chain | None,
    package: str | None = None,
) -> FitFinding:
    verb = "takes" if side == "input" else "gives"
    has = ", ".join(sorted(able)) or "nothing"
    if chain == ():
        return FitFinding(aspect=side, verdict=Verdict.OK, reason=f"{base.id} {verb} {modality}")
    if chain is None:
        step = f"{modality}→{sorted(able)[0]}" if side == "input" else f"{sorted(able)[0]}→{modality}"
        brings = package_command(package) if package else f"install a plugin that brings a bridge {step}"
        return FitFinding(
            aspect=side,
            verdict=Verdict.FAIL,
            reason=f"the task's {side} has {modality}, {base.id} {verb} {has}, and no bridge closes the gap",
            remedy=f"{brings}, or take a base that {verb} {modality}",
        )
    path = ", then ".join(f"{b.name} ({b.source}→{b.target})" for b in chain)
    if missing := [bridge for bridge in chain if bridge.run is None]:
        packages = dict.fromkeys(bridge.package or bridge.name for bridge in missing)
        return FitFinding(
            aspect=side,
            verdict=Verdict.FAIL,
            reason=f"{base.id} {verb} {has}; {modality} would go through {path}, which is not installed",
            remedy=package_command(*packages),
        )
    return FitFinding(aspect=side, verdict=Verdict.OK, reason=f"{base.id} {verb} {has}; {modality} goes through {path}")


def judge_unmarked_output(modality: Modality, base: Base) -> FitFinding:
    return FitFinding(
        aspect="output",
        verdict=Verdict.FAIL,
        reason=f"the task's output has {modality}, {base.id} gives {', '.join(sorted(base.modalities_out))}, and no "
        f"{modality} field names the text that it is rendered from",
        remedy=f"mark the {modality} field with read_from(TEXT_FIELD) and give it a default, or take a base that gives "
        f"{modality}",
    )


def judge_encoder(task: TaskContract, base: Base) -> FitFinding:
    if task.kind in HEADED:
        return FitFinding(
            aspect="output",
            verdict=Verdict.OK,
            reason=f"{base.id} does not write; a head on it can {task.kind} (produces: head)",
        )
    return FitFinding(
        aspect="output",
        verdict=Verdict.FAIL,
        reason=f"the task is to {task.kind}, and {base.id} does not write",
        remedy="take a base that writes, such as qwen2.5-coder-0.5b",
    )


def judge_languages(base: Base, spoken: Sequence[str], *, every: bool = False) -> list[FitFinding]:
    """`every`: the task needs all of them at once, as a translation does."""
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
        if names_language(base.languages, language):
            findings.append(FitFinding(aspect="language", verdict=Verdict.OK, reason=f"{base.id} supports {language}"))
            continue
        others = [other for other in spoken if names_language(base.languages, other)]
        findings.append(
            FitFinding(
                aspect="language",
                # A task is prompted in its first language by default, so that only that one is fatal.
                verdict=Verdict.FAIL if every or rank == 0 or not others else Verdict.WARN,
                reason=f"the task is in {language}; {base.id} supports {', '.join(base.languages)}",
                remedy=f"use a base that supports {language}"
                + (f", or use the task in {', '.join(others)} only" if others else ""),
            )
        )
    return findings


def judge_bridge_languages(bridge: Bridge, spoken: Sequence[str]) -> list[FitFinding]:
    lost = [language for language in spoken if bridge.languages and not names_language(bridge.languages, language)]
    if not lost:
        return []
    return [
        FitFinding(
            aspect="language",
            verdict=Verdict.FAIL if spoken[0] in lost else Verdict.WARN,
            reason=f"bridge {bridge.name} supports {', '.join(bridge.languages)}, not {', '.join(lost)}",
            remedy=f"use a bridge {bridge.source}→{bridge.target} that supports {', '.join(lost)}",
        )
    ]


def lengths_of(token_lengths: Sequence[int] | None) -> Lengths | None:
    if not token_lengths:
        return None
    ranked = sorted(token_lengths)

    def at(share: float) -> int:
        return ranked[max(0, ceil(share * len(ranked)) - 1)]

    return Lengths(samples=len(ranked), p50=at(0.5), p95=at(0.95), p99=at(0.99), max=ranked[-1])


def judge_context(task: TaskContract, base: Base, lengths: Lengths | None) -> FitFinding:
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
    description = (
        f"{lengths.samples} samples: half within {lengths.p50} tokens, 95% within {lengths.p95}, longest {lengths.max}"
    )
    if lengths.max <= room:
        return FitFinding(aspect="context", verdict=Verdict.OK, reason=f"{base.id} holds {room} tokens; {description}")
    return FitFinding(
        aspect="context",
        verdict=Verdict.FAIL if lengths.p95 > room else Verdict.WARN,
        reason=f"{base.id} holds {room} tokens, not enough for all; {description}",
        remedy="take a base with a longer context, or shorten the longest inputs",
    )


_LICENCES: dict[Terms, tuple[dict[Use, Verdict], str, str | None]] = {
    Terms.PERMISSIVE: ({}, "permissive", None),
    Terms.SHARE_ALIKE: (
        {"commercial": Verdict.WARN},
        "share-alike: works derived from it and distributed must carry the same licence",
        "ship the fine-tune and bundle under that licence, or take {other} under a permissive one",
    ),
    Terms.CUSTOM: (
        {"commercial": Verdict.WARN, "internal": Verdict.WARN, "research": Verdict.WARN},
        "a licence of its own, with conditions on use",
        "read its terms on use, users and naming, and have the person responsible for the product agree",
    ),
    Terms.UNKNOWN: (
        {"commercial": Verdict.WARN, "internal": Verdict.WARN, "research": Verdict.WARN},
        "not known here, so that nothing is known to be allowed",
        "find its licence before shipping; an SPDX identifier in the card settles it",
    ),
    Terms.NO_DERIVATIVES: (
        {"commercial": Verdict.FAIL, "internal": Verdict.WARN, "research": Verdict.WARN},
        "no derivatives: a fine-tune of it must not be distributed",
        "take {other} whose licence allows derivatives, such as {such}",
    ),
    Terms.NON_COMMERCIAL: (
        {"commercial": Verdict.FAIL, "internal": Verdict.FAIL},
        "non-commercial only",
        "take {other} for commercial use, such as under {such}, or buy a licence",
    ),
}


def judge_licence(what: str, licence: str | None, use: Use) -> FitFinding:
    """`what` begins with what it is: base, bridge or samples."""
    by_use, description, remedy = _LICENCES[terms_of(licence)]
    other, such = _OTHER[what.split()[0]]
    verdict = by_use.get(use, Verdict.OK)
    return FitFinding(
        aspect="licence",
        verdict=verdict,
        reason=f"{what}: licence {licence or '(none given)'}, {description}; the use is {use}",
        remedy=remedy.format(other=other, such=such) if remedy and verdict is not Verdict.OK else None,
    )


_OTHER = {
    "base": ("a base", "Apache-2.0 or MIT"),
    "bridge": ("a bridge", "Apache-2.0 or MIT"),
    "samples": ("samples", "CC0-1.0 or CC-BY-4.0"),
}
"""What else could be taken in its place, and under which licences."""


def judge_knowledge(task: TaskContract, base: Base, facts_until: date | None, search: bool) -> FitFinding:
    if not task.fresh_facts:
        brought = "the input brings every fact the task needs"
        if task.takes_passages:
            brought += f", and its `{PASSAGES}` are filled from the documents of a bundle"
        return FitFinding(aspect="knowledge", verdict=Verdict.OK, reason=brought)
    if search:
        return FitFinding(
            aspect="knowledge", verdict=Verdict.OK, reason="the task needs fresh facts, and search supplies them"
        )
    cutoff = base.knowledge_cutoff
    if cutoff and facts_until and cutoff >= facts_until:
        return FitFinding(
            aspect="knowledge",
            verdict=Verdict.OK,
            reason=f"facts are needed up to {facts_until}, {base.id} has knowledge up to {cutoff}",
        )
    known = f"{base.id} has no knowledge after {cutoff}" if cutoff else f"{base.id}'s card names no knowledge cut-off"
    return FitFinding(
        aspect="knowledge",
        verdict=Verdict.WARN,
        reason=f"the task needs facts up to {facts_until or 'the day of the request'}; {known}",
        remedy="ship documents in the bundle (metier export --documents), or look facts up and pass --search"
        if task.takes_passages
        else f"give its input a field `{PASSAGES}`, filled from documents of a bundle, look facts up (--search),"
        " or take a base with a later cut-off",
    )
