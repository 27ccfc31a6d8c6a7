"""A person takes over where the policy requires it: by topic, amount or request; and the reply agrees with the flag."""

from __future__ import annotations

from typing import Any

import pytest

from metier_support.checks.escalation import rules_of, run
from metier_support.wording import hands_over, requests_person

OVER = "I'm passing this to our supervisor."
HERE = "Let me look into that."


def found(policy: str, message: str, escalate: bool, reply: str, order: dict[str, Any] | None = None) -> list[str]:
    case = {
        "dialogue": [{"who": "customer", "text": message}],
        "passages": [{"id": "P1", "text": policy}],
        "order": order or {},
    }
    return [f.message for f in run(case, {"escalate": escalate, "used": ["P1"], "reply": reply})]


@pytest.mark.parametrize(
    ("policy", "message", "order"),
    [
        ("Hand over any mention of injury or fire to the safety team.", "there was a FIRE", {}),
        ("Claims above £150 go to a supervisor.", "refund all of it", {"total": "£151"}),
        ("Refunds over $200 must go to a manager.", "I paid $250", {}),
        ("Transfer anyone who asks for a person to an agent.", "can I talk to a real person", {}),
        ("Swollen batteries: escalate to the safety team.", "my battery is swollen, a swollen battery", {}),
        ("Escalate chargebacks.", "I filed a chargeback", {}),
        ("Forward any data access request to our privacy team.", "this is a data access request", {}),
        ("涉及受伤、起火，转安全专员。", "插座起火了", {}),
        ("超过1000元的退款由主管处理。", "退款", {"金额": "1001元"}),
        ("要求人工的，转人工。", "我要找人工", {}),
    ],
)
def test_where_the_policy_requires_a_person_an_answer_alone_is_wrong(
    policy: str, message: str, order: dict[str, Any]
) -> None:
    assert any("does not escalate" in message for message in found(policy, message, False, HERE, order))
    assert found(policy, message, True, OVER if message.isascii() else "我马上转主管处理。", order) == []


@pytest.mark.parametrize(
    ("policy", "message", "order"),
    [
        ("Hand over any mention of injury or fire to the safety team.", "the mug is chipped", {}),
        ("Claims above £150 go to a supervisor.", "refund", {"total": "£150"}),
        ("Claims above £150 go to a supervisor.", "refund", {"total": "$151"}),
        ("Transfer anyone who asks for a person to an agent.", "where is my order", {}),
        ("We send a new one within 5 working days.", "it broke", {}),
        ("涉及受伤、起火，转安全专员。", "颜色不对", {}),
    ],
)
def test_where_no_rule_holds_an_answer_is_right(policy: str, message: str, order: dict[str, Any]) -> None:
    assert found(policy, message, False, HERE, order) == []


def test_escalating_what_the_policy_answers_is_found() -> None:
    assert found("Returns within 30 days.", "can I return it", True, OVER) != []


@pytest.mark.parametrize(
    ("message", "right"),
    [("there was a small fire", True), ("my hand has an injury from it", True), ("can I return it", False)],
)
def test_a_rule_in_sight_is_no_reason_to_escalate_everything(message: str, right: bool) -> None:
    policy = "Returns within 30 days. Hand over anything about a kitchen fire or a bad injury to the safety team."
    assert (not found(policy, message, True, OVER)) is right


def test_a_customer_can_always_request_a_person() -> None:
    assert found("Returns within 30 days.", "get me a human agent", True, OVER) == []


@pytest.mark.parametrize(("escalate", "reply"), [(True, HERE), (False, OVER)])
def test_the_reply_agrees_with_the_flag(escalate: bool, reply: str) -> None:
    assert found("Escalate anything about fire.", "fire" if escalate else "hi", escalate, reply) != []


def test_a_policy_that_names_no_person_holds_no_rule() -> None:
    assert list(rules_of("We pass the saving on to you. Send the parcel to our depot.")) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I'm handing you to a colleague.", True),
        ("I have forwarded this to our privacy team.", True),
        ("A supervisor will take it from here.", True),
        ("帮您转人工。", True),
        ("Send it to our depot.", False),
        ("Please hand the parcel to the driver.", False),
        ("Our team loves that colour.", False),
    ],
)
def test_handing_over_is_distinguished_from_other_handing(text: str, expected: bool) -> None:
    assert hands_over(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("agent please", True),
        ("let me speak to a manager", True),
        ("转人工", True),
        ("my agent number is 7", False),
        ("person", False),
    ],
)
def test_a_request_for_a_person_is_distinguished_from_naming_one(text: str, expected: bool) -> None:
    assert requests_person(text) is expected
