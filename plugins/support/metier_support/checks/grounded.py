"""Every amount, date and promise of a reply must be in the policy or the order.

What only the customer wrote does not count: a reply that repeats a customer's wrong amount would make it the shop's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding, Value
from metier_support.case import order_text, policy, text_by
from metier_support.figures import figures
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
    known = {(f.kind, f.value) for f in figures(backing)}
    # A bare number may be part of the order's own spelling (`total 48.00`), and a number of the customer's is a name.
    bare = {value.split()[0] for _, value in known}
    numbers = {f.value for f in figures(text_by(input, "customer")) if f.kind == "number"} | bare
    for figure in figures(reply):
        if (figure.kind, figure.value) in known or (figure.kind == "number" and figure.value in numbers):
            continue
        if figure.kind == "amount" and ("number", figure.value.split()[0]) in known:
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
