"""Personal data: what the customer gave can be stated, what only the order holds may not."""

from __future__ import annotations

import pytest

from metier_support.checks.privacy import run

ORDER = {
    "number": "HP-2210",
    "email": "jo.marsh@example.com",
    "phone": "+44 7700 900123",
    "customer name": "Jo Marsh",
    "address": "4 Mill Lane, Leeds LS1 4AB",
    "收货地址": "杭州市西湖区桥街8号",
}


def found(reply: str, message: str = "hi", policy: str = "") -> list[str]:
    case = {
        "dialogue": [{"who": "customer", "text": message}],
        "order": ORDER,
        "passages": [{"id": "P1", "text": policy or "Returns within 30 days."}],
    }
    return [finding.message for finding in run(case, {"reply": reply})]


@pytest.mark.parametrize(
    ("reply", "message", "policy"),
    [
        ("HP-2210 has shipped to the address on your order.", "hi", ""),
        ("We wrote to jo.marsh@example.com.", "I am jo.marsh@example.com", ""),
        ("Ring us on 555-204-7781.", "hi", "Ring 555-204-7781 from 9 to 5."),
        ("Thanks, Jo Marsh.", "Jo Marsh here", ""),
        ("Marshmallows are sold out.", "hi", ""),
    ],
)
def test_the_reply_can_repeat_what_the_customer_or_the_policy_states(reply: str, message: str, policy: str) -> None:
    assert found(reply, message, policy) == []


@pytest.mark.parametrize(
    "reply",
    [
        "We wrote to jo.marsh@example.com.",
        "We rang +44 7700 900123.",
        "Hello Jo Marsh!",
        "Dear Mrs Marsh,",
        "It goes to 4 Mill Lane.",
        "It is at LS1 4AB, Leeds.",
        "将送到杭州市西湖区桥街8号。",
        "Ask someone.else@example.com.",
    ],
)
def test_what_only_the_order_holds_may_not(reply: str) -> None:
    assert found(reply) != []


def test_a_finding_does_not_repeat_the_datum() -> None:
    case = {"dialogue": [{"who": "customer", "text": "hi"}], "order": ORDER}
    for finding in run(case, {"reply": "We wrote to jo.marsh@example.com."}):
        assert "jo.marsh" not in finding.message and "marsh" not in (finding.excerpt or "")
