"""What each kind of feedback event needs, and what it says about the answer."""

import pytest

from metier.contracts import EVENT_KINDS, EventKind, FeedbackEvent

RECEIVED = {"text": "A."}
EDIT = {"text": "B."}


@pytest.mark.parametrize(
    ("fields", "good", "judged", "preferences"),
    [
        ({"kind": "accepted"}, True, ("A.", True), []),
        ({"kind": "chosen", "among": ({"text": "C."}, RECEIVED)}, True, ("A.", True), [("A.", "C.")]),
        ({"kind": "rejected", "rating": 1}, False, ("A.", False), []),
        ({"kind": "rated", "rating": 0.75}, True, ("A.", True), []),
        ({"kind": "rated", "rating": 0.5}, None, None, []),
        ({"kind": "rated", "rating": 0.25}, False, ("A.", False), []),
        ({"kind": "edited", "edited_to": EDIT}, False, ("B.", True), [("B.", "A.")]),
        ({"kind": "edited", "edited_to": RECEIVED}, True, ("A.", True), []),
        ({"kind": "comment", "comment": "hm"}, None, None, []),
    ],
)
def test_an_event_judges_one_output_and_prefers_it_over_others(fields, good, judged, preferences) -> None:
    event = FeedbackEvent(answer="1", **fields)
    assert event.is_good(RECEIVED) is good
    assert event.judged(RECEIVED) == (None if judged is None else ({"text": judged[0]}, judged[1]))
    assert [(a["text"], b["text"]) for a, b in event.preferences(RECEIVED)] == preferences


def test_every_kind_has_a_rule_and_needs_its_field() -> None:
    assert set(EVENT_KINDS) == set(EventKind)
    for kind, rule in EVENT_KINDS.items():
        if rule.needs is None:
            FeedbackEvent(answer="1", kind=kind)
        else:
            with pytest.raises(ValueError, match=f"{kind.value}' needs {rule.needs}"):
                FeedbackEvent(answer="1", kind=kind)
