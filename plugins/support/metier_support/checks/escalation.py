"""A person must take over where the policy requires it, and only there; and the reply must say what the flag says.

A policy requires it in a sentence such as `Claims above £150 go to a supervisor` or `Hand over anything about injury or
fire to the safety team`. Such a sentence holds where one of its alternatives does: an amount above its threshold, or
words that the customer used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import JsonValue

from metier.contracts import Check, Finding, Value
from metier.data import terms
from metier_support.case import order_text, policy, text_by
from metier_support.figures import figures
from metier_support.tasks import REPLY
from metier_support.wording import HAN_PEOPLE, hands_over, requests_person

RULE = "House rule: a person takes over where the policy requires it"
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？；])|\n")
_MUST = re.compile(
    r"\b(?:hand|pass|transfer|forward|escalate|refer|send|give)\b[^.]{0,80}?\bto "
    r"(?:\{\{\w+\}\},? )?(?:a|an|the|our) (?P<who>[a-z]+(?: [a-z]+){0,2})"
    r"|\b(?:go(?:es)?|must go|are decided|is decided|are handled|is "
    r"handled|needs?) (?:to|by) (?:a|an|the|our) [a-z]+(?: [a-z]+)?"
    r"|\bescalate\b|\bneeds? (?:a|an|the) (?:person|human|supervisor|manager|colleague|specialist)\b"
    rf"|转(?:给|交|接)?[^。，；]{{0,4}}(?:{HAN_PEOPLE}|安全)[^。，；]{{0,4}}|由[^。，；]{{0,4}}(?:{HAN_PEOPLE})[^。，；]{{0,4}}",
    re.IGNORECASE,
)
_PEOPLE = re.compile(
    r"person|human|colleague|supervisor|manager|specialist|team|agent|desk|lead|owner|optician|人|安全|escalate|"
    + HAN_PEOPLE,
    re.IGNORECASE,
)
_HARM = re.compile(
    r"\b(?:hurt (?:my|his|her|me)|injur\w*|burn(?:ed|t)? (?:my|his|her|me|him)|bleed\w*|blood|rash|allergic|vomit\w*"
    r"|hospital|ambulance|(?:caught|on) fire|electric shock|poison\w*)\b"
    r"|疹|过敏|红肿|刺痛|呕吐|吐了|拉稀|腹泻|受伤|摔[破伤断]|流血|出血|烫伤|割伤|着火|冒烟|触电|漏电|中毒|医院|急诊|救护",
    re.IGNORECASE,
)
"""Harm to body or house, as a customer tells it."""
_HARM_RULE = re.compile(
    _HARM.pattern + r"|\b(?:injury|reactions?|health|medical|safety|fire)\b|不适|不良反应|伤|安全|健康", re.IGNORECASE
)
"""Harm as a policy names it."""
_ABOVE = re.compile(r"\b(?:above|over|more than|exceed\w*|worth more than)\b|超过|以上|高于|大于", re.IGNORECASE)
_SCAFFOLD = set(
    terms(
        "anyone anybody everyone hand pass transfer forward escalate refer send "
        "give go goes must need needs decided handled case cases claim claims "
        "customer customers order orders anything any all mention "
        "mentions mentioned about where when if someone who wants "
        "over above more than worth ask asks asking everything "
        "request requests says say reports report straight always "
        "immediately question questions complaint involving involves "
        "word words supervisor manager person human colleague "
        "specialist team agent desk lead only talk"
    )
)
_ALTERNATIVE = re.compile(r",|;|:|\bor\b|\band\b|[、，；：或和]")
_HAN_SCAFFOLD = re.compile(
    r"(?:如果|凡|涉及|提到|关于|要求|的|一律|都|请|须|需|应|顾客|客户|订单|情况|时|必须|等|问题|投诉|由|处理)"
)


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """Findings where the flag goes against the policy, or the reply against the flag."""
    flag, reply = output.get("escalate") is True, str(output.get("reply", ""))
    request = text_by(input, "customer")
    rules = list(rules_of(policy(input)))
    holds = next((rule for rule in rules if rule_holds(rule, input)), None)
    found = []
    if holds and not flag:
        found.append(
            Finding(message=f"does not escalate, though the policy requires it: {holds}", rule=RULE, excerpt=holds)
        )
    # A rule may hold in other words than its own; one that shares none with the customer does not.
    near = any(rule_touches(rule, request) for rule in rules)
    if flag and not holds and output.get("used") and not near and not requests_person(request):
        found.append(Finding(message="escalates what the policy lets an agent answer", rule=RULE))
    if flag and not hands_over(reply):
        found.append(
            Finding(
                message="escalates without telling the customer that a person takes over", rule=RULE, excerpt=reply[:60]
            )
        )
    if not flag and hands_over(reply):
        found.append(
            Finding(
                message="tells the customer that a person takes over, but does not escalate",
                rule=RULE,
                excerpt=reply[:60],
            )
        )
    return found


def rules_of(text: str) -> Iterator[str]:
    """Sentences of a policy that say when a person takes over."""
    for sentence in _SENTENCE.split(text):
        if (found := _MUST.search(sentence)) and _PEOPLE.search(found[0]):
            yield sentence.strip()


def rule_holds(rule: str, input: Mapping[str, Any]) -> bool:
    """Whether one alternative of such a sentence holds for this customer and order."""
    request = text_by(input, "customer")
    words = set(terms(request))
    limits = [f for f in figures(rule) if f.kind == "amount"]
    if limits and _ABOVE.search(rule):
        amounts = [f.value.split() for f in figures(f"{order_text(input)}\n{request}") if f.kind == "amount"]
        if any(
            a[1] == limit.value.split()[1] and float(a[0]) > float(limit.value.split()[0])
            for a in amounts
            for limit in limits
        ):
            return True
    if re.search(
        r"asks? for a (?:person|human|manager|supervisor)|wants? a (?:person|human|manager)|要求人工|要找人工",
        rule,
        re.IGNORECASE,
    ) and requests_person(request):
        return True
    if _HARM_RULE.search(rule) and _HARM.search(request):
        return True
    return any(_mentioned(part, request, words) for part in _conditions(rule))


def rule_touches(rule: str, request: str) -> bool:
    """Whether a customer used any content word of a rule's condition, or named an amount where it has a threshold."""
    words = set(terms(request))
    amounts = any(figure.kind == "amount" for figure in figures(rule)) and any(
        f.kind == "amount" for f in figures(request)
    )
    return amounts or any(
        c in words or (c > "\u3400" and any(c[i : i + 2] in request for i in range(len(c) - 1)))
        for part in _conditions(rule)
        for c in _content(part)
    )


def _conditions(rule: str) -> list[str]:
    """Alternatives of a rule's condition: in its own clause, or before the colon where the clause has none."""
    sections = re.split(r"[:：]", rule)
    at = next((n for n, section in enumerate(sections) if _MUST.search(section)), len(sections) - 1)
    clause = next((c for c in re.split(r"[;；]", sections[at]) if _MUST.search(c)), sections[at])
    for section in (_MUST.sub(_inside, clause), *reversed(sections[:at])):
        parts = [p for p in _ALTERNATIVE.split(section) if not (_ABOVE.search(p) and figures(p)) and _content(p)]
        if parts or (_ABOVE.search(section) and figures(section)):
            return parts
    return []


def _content(part: str) -> list[str]:
    """What a condition is about: its words but for the scaffold; Han as one piece."""
    if re.search(r"[\u3400-\u9fff]", part):
        bare = _HAN_SCAFFOLD.sub("", _MUST.sub("", part)).strip(" 。，")
        return [bare] if len(bare) >= 2 else []
    return [term for term in terms(part) if term not in _SCAFFOLD]


def _mentioned(part: str, request: str, words: set[str]) -> bool:
    content = _content(part)
    return bool(content) and all(c in request if c > "\u3400" else c in words for c in content)


def _inside(found: re.Match[str]) -> str:
    """The words between `hand over` and `to the team`, which is what the rule is about."""
    return re.sub(r"\bto (?:a|an|the|our) .*$", "", found[0]) + " "


_POLICY: list[JsonValue] = [
    {"id": "P1", "text": "Refunds take 5 working days. Hand over any mention of injury or fire to the safety team."}
]
_HURT: Value = {"dialogue": [{"who": "customer", "text": "the kettle caught fire"}], "passages": _POLICY}
escalation = Check(
    name="escalation",
    title="Escalates where required",
    tasks=(REPLY,),
    run=run,
    passing=(_HURT, {"escalate": True, "used": ["P1"], "reply": "I am passing this to our safety team now."}),
    failing=(_HURT, {"escalate": False, "used": ["P1"], "reply": "Refunds take 5 working days."}),
    description="A person takes over where the policy requires it, and the reply says it.",
)
