"""Every amount, date and promise of a reply must be in the policy or the order, or follow from them.

What only the customer wrote does not count: a reply that repeats a customer's wrong amount would make it the shop's. It
may be repeated where nothing hangs on it: a day that the customer named, an amount or a term in a sentence that neither
pays, charges nor sets a limit. What is left of two figures (£20 to go until free delivery) and a multiple of a price
follow from the case.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding, Value
from metier_support.case import order_text, policy, text_by
from metier_support.figures import Figure, figures
from metier_support.promises import promises
from metier_support.tasks import REPLY

RULE = "House rule: every amount, date and promise is in the policy or the order"
_KINDS = {"amount": "the amount", "percent": "the percentage", "date": "the date", "day": "the day",
          "clock": "the time", "span": "the term", "number": "the number"}  # fmt: skip


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding per figure or promise that neither the policy nor the order holds."""
    return list(_found(input, str(output.get("reply", ""))))


def _found(input: Mapping[str, Any], reply: str) -> Iterator[Finding]:
    backing = f"{policy(input)}\n{order_text(input)}"
    request = figures(text_by(input, "customer"))
    own = figures(backing)
    known = {(f.kind, f.value) for f in own} | _per_unit(backing) | _relative_days(backing)
    # A bare number may be part of the order's own spelling (`total 48.00`), and a number of the customer's is a name.
    bare = {value.split()[0] for _, value in known}
    numbers = {f.value for f in request if f.kind == "number"} | bare
    counted = [_COUNTS.get(m[0].lower()) or int(m[0]) for m in _COUNT.finditer(text_by(input, "customer").lower())]
    derived = _derived([*own, *request], own, counted[:_MOST])
    for sentence in _SENTENCE.split(reply):
        denied = bool(_DENIED.search(sentence))
        free = denied or not _BINDING.search(sentence)
        open_term = denied or not _LIMIT.search(sentence)
        repeatable = {
            (f.kind, f.value) for f in request if f.kind == "day" or (open_term if f.kind == "span" else free)
        }
        for figure in figures(sentence):
            key = (figure.kind, figure.value)
            if key in known or key in repeatable or key in derived:
                continue
            if figure.kind == "number" and figure.value in numbers:
                continue
            if figure.kind == "amount" and ("number", figure.value.split()[0]) in (known | repeatable):
                continue
            yield Finding(
                message=f"{_KINDS[figure.kind]} {figure.excerpt} is neither in the policy nor in the order",
                rule=RULE,
                excerpt=figure.excerpt,
            )
    for promise, wording in promises(reply):
        if not promise.backing.search(backing):
            yield Finding(
                message=f"promises {promise.label} ({wording}), which neither the policy nor the order holds",
                rule=RULE,
                excerpt=wording,
            )


_SENTENCE = re.compile(r"(?<=[.!?;])\s+|(?<=[。！？；，])")
_BINDING = re.compile(
    r"\b(?:refund\w*|owe\w*|pay\w*|paid|charg\w*|credit\w*|give|giv\w+|send\w*|sent|get|receive\w*|costs?|price|take|takes|add\w*|"
    r"within|up to|at most|at least|until|by|after|before|from|we(?:'ll| will))\b|"
    r"[赔补付]|退(?!不)|收(?:您|取|费)|扣|到账|送您|给您|以?内|之前|之后|以后|不超过|最多|至少|价格",
    re.IGNORECASE,
)
"""What makes an amount one that the shop can be held to."""
_LIMIT = re.compile(
    r"\b(?:within|in|up to|at most|at least|until|after|before|take|takes)\b|以?内|之前|之后|以后|不超过|最多|至少",
    re.IGNORECASE,
)
"""What makes a term one."""
_COUNT = re.compile(
    r"(?<![\d.])\d{1,2}(?![\d.])|[两二三四五六七八九十]|\b(?:two|three|four|five|six|seven|eight|nine|ten|twelve)\b"
)
_COUNTS = {c: n for n, c in enumerate("二三四五六七八九十", 2)} | {
    "两": 2, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "twelve": 12,
}  # fmt: skip
_DENIED = re.compile(r"[不没]了|不能|无法|抱歉|不好意思|\b(?:not|cannot|can't|unable|unfortunately)\b", re.IGNORECASE)
_TODAY = re.compile(
    r"当[天日]|今[天日]|即时|马上|小时内|\d点前|same[- ]day|\btoday\b|by \d{1,2}(?::\d\d)? ?[ap]m", re.IGNORECASE
)
_TOMORROW = re.compile(
    r"次[日早]|第二天|翌日|隔天|明[天日早]|前一天|next[- ](?:working[- ])?day|\btomorrow\b", re.IGNORECASE
)
_PER = re.compile(
    r"每(?:个)?(?P<han>小时|天|日|周|月|年)|\b(?:a|per|each|every) (?P<word>hour|day|week|month|year)\b", re.IGNORECASE
)
_PER_UNIT = {"小时": "hour", "天": "day", "日": "day", "周": "week", "月": "month", "年": "year"}
_MOST = 40
"""Figures of a case that are combined; more follow from one another by chance."""


def _relative_days(backing: str) -> set[tuple[str, str]]:
    """`today` and `tomorrow` where the policy or the order speaks of the same or the next day in any words."""
    found = {("day", "today")} if _TODAY.search(backing) or _TOMORROW.search(backing) else set()
    return found | ({("day", "tomorrow")} if _TOMORROW.search(backing) else set())


def _per_unit(backing: str) -> set[tuple[str, str]]:
    """`every year` names one year."""
    return {("span", f"1 {_PER_UNIT.get(m['han'] or '', (m['word'] or '').lower())}") for m in _PER.finditer(backing)}


def _derived(all: list[Figure], own: list[Figure], counts: list[int]) -> set[tuple[str, str]]:
    """Differences of two figures of one unit, at least one of them the shop's, and small multiples of its amounts."""
    shop = [f for f in own[:_MOST] if f.kind in ("amount", "span")]
    days = {_split(f)[0] for f in all[:_MOST] if f.kind == "span" and f.value.endswith(" day")}
    late = {abs(one - other) for one in days for other in days if 2 <= abs(one - other) <= 31}
    found = set()
    for one in shop:
        size, unit = _split(one)
        for other in all[:_MOST]:
            amount, other_unit = _split(other)
            bare = other.kind == "number" and one.kind == "amount"
            if ((other.kind == one.kind and other_unit == unit) or bare) and amount != size:
                found.add((one.kind, f"{abs(size - amount):g} {unit}"))
        if one.kind == "amount":
            found |= {("amount", f"{size * times:g} {unit}") for times in {*counts, *days, *late} if 2 <= times <= 31}
    return found


def _split(figure: Figure) -> tuple[float, str]:
    number, _, unit = figure.value.partition(" ")
    try:
        return float(number), unit
    except ValueError:
        return float("nan"), unit


_CASE: Value = {
    "dialogue": [{"who": "customer", "text": "how long for the £40 back?"}],
    "passages": [{"id": "P1", "text": "We refund within 5 working days of the parcel reaching us."}],
    "order": {"number": "HP-2210", "total": "£38.50"},
}
grounded = Check(
    name="grounded",
    title="Grounded in policy and order",
    tasks=(REPLY,),
    run=run,
    passing=(_CASE, {"escalate": False, "used": ["P1"], "reply": "We refund £38.50 within 5 working days."}),
    failing=(_CASE, {"escalate": False, "used": ["P1"], "reply": "We refund £40 within 5 days."}),
    description="Every amount, date and promise is in the policy or the order.",
)
