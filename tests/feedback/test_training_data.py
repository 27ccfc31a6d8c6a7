"""From feedback to training data: every rule, the events that it leaves out, and held-out inputs."""

from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from metier.contracts import Answer, FeedbackEvent, Sample, TaskContract, TaskKind, prompt
from metier.data.leakage import leaks
from metier.feedback.stored_event import StoredEvent
from metier.feedback.training_data import collect_feedback


class Facts(BaseModel):
    facts: str


class Text(BaseModel):
    text: str


class Mood(BaseModel):
    mood: Literal["good", "bad"]


COPY = TaskContract(
    name="shop.copy", kind=TaskKind.GENERATE, input=Facts, output=Text, prompts={"en": prompt("{{ facts }}")}
)
MOOD = TaskContract(
    name="shop.mood",
    kind=TaskKind.CLASSIFY,
    input=Facts,
    output=Mood,
    prompts={"en": prompt("{{ facts }}")},
    reply="label",
)


class Users:
    """Feedback events without a file."""

    def __init__(self, task: TaskContract = COPY) -> None:
        self.task, self.events = task, []

    def answer(self, facts: str, output, **fields) -> Answer:
        value = {"text": output} if self.task is COPY else {"mood": output}
        return Answer(**{"task": self.task.name, "input": {"facts": facts}, "output": value, "consent": True, **fields})

    def send(self, answer: Answer, kind: str, user: str | None = None, **fields) -> None:
        event = FeedbackEvent(answer=answer.id, kind=kind, user=user, **fields)
        self.events.append(StoredEvent(number=len(self.events) + 1, answer=answer, event=event))

    def collect(self, held_out=()):
        return collect_feedback(self.task, self.events, held_out)


def test_every_kind_of_event_gives_its_training_data() -> None:
    users = Users()
    users.send(users.answer("a blue mug of stoneware", "Mug."), "edited", edited_to={"text": "A blue stoneware mug."})
    users.send(users.answer("an oak lamp for the desk", "A lamp of oak."), "accepted")
    users.send(users.answer("a chair with four legs", "Buy now!"), "rejected")
    users.send(users.answer("a green kettle, two litres", "A green kettle."), "chosen", among=({"text": "Kettle!"},))
    users.send(users.answer("a tin of white paint", "White paint."), "rated", rating=1.0)
    users.send(users.answer("a spade with an ash handle", "Spade."), "rated", rating=0.5)
    users.send(users.answer("a rope of ten metres", "Rope."), "comment", comment="hm")
    found = users.collect()
    assert [(s.output["text"], s.provenance.line) for s in found.samples] == [
        ("A blue stoneware mug.", 1), ("A lamp of oak.", 2), ("A green kettle.", 4), ("White paint.", 5)
    ]  # fmt: skip
    assert [(p.chosen["text"], p.rejected["text"]) for p in found.preferences] == [
        ("A blue stoneware mug.", "Mug."), ("A green kettle.", "Kettle!")
    ]  # fmt: skip
    bad = [f.output["text"] for f in found.judged if not f.good]
    assert bad == ["Buy now!"] and len(found.judged) == 5
    assert (found.events, found.until, found.left_out) == (7, 7, ())


def test_an_answer_without_consent_is_left_out() -> None:
    users = Users()
    users.send(users.answer("a mug", "Mug.", consent=False), "accepted")
    found = users.collect()
    assert found.samples == found.judged == () and [left.rule for left in found.left_out] == ["consent"]


def test_the_latest_event_of_a_user_counts() -> None:
    users = Users()
    mug = users.answer("a mug", "Mug.")
    users.send(mug, "accepted", "ann")
    users.send(mug, "rejected", "ann")
    found = users.collect()
    assert found.samples == () and [f.good for f in found.judged] == [False]
    assert [(left.number, left.rule) for left in found.left_out] == [(1, "superseded")]


def test_a_rating_does_not_withdraw_an_edit_and_does_not_count_for_an_edited_answer() -> None:
    for rating in (0.0, 0.5, 1.0):
        users = Users()
        mug = users.answer("a blue mug", "Mug.")
        users.send(mug, "edited", "ann", edited_to={"text": "A blue mug."})
        users.send(mug, "rated", "ann", rating=rating)
        found = users.collect()
        assert [s.output["text"] for s in found.samples] == ["A blue mug."]
        assert [(p.chosen["text"], p.rejected["text"]) for p in found.preferences] == [("A blue mug.", "Mug.")]
        assert [f.output["text"] for f in found.judged] == ["A blue mug."]
        assert [(left.number, left.rule) for left in found.left_out] == [(2, "superseded")]
        assert "event 1" in found.left_out[0].reason


def test_a_rating_does_not_withdraw_a_choice_and_three_stars_no_approval() -> None:
    users = Users()
    mug, lamp = users.answer("a blue mug", "A blue mug."), users.answer("an oaken lamp", "A lamp.")
    users.send(mug, "chosen", "ann", among=({"text": "Mug!"},))
    users.send(mug, "rated", "ann", rating=1.0)
    users.send(lamp, "accepted", "ann")
    users.send(lamp, "rated", "ann", rating=0.5)
    found = users.collect()
    assert [s.output["text"] for s in found.samples] == ["A blue mug.", "A lamp."] and len(found.preferences) == 1


def test_a_rejection_with_five_stars_by_the_same_user_is_a_conflict() -> None:
    users = Users()
    mug = users.answer("a blue mug", "Mug.")
    users.send(mug, "rejected", "ann")
    users.send(mug, "rated", "ann", rating=1.0)
    found = users.collect()
    assert found.samples == found.judged == () and {left.rule for left in found.left_out} == {"conflict"}


def test_two_anonymous_events_count_as_two_users() -> None:
    users = Users()
    mug = users.answer("a blue mug", "Mug.")
    users.send(mug, "edited", edited_to={"text": "A blue mug."})
    users.send(mug, "rejected")
    found = users.collect()
    assert [s.output["text"] for s in found.samples] == ["A blue mug."] and found.left_out == ()
    assert [f.output["text"] for f in found.judged if not f.good] == ["Mug."]


def test_the_user_of_the_answer_votes_where_the_event_names_none() -> None:
    users = Users()
    for _ in range(3):
        users.send(users.answer("a mug of clay", "A mug.", user="ann"), "accepted")
    for user in ("bob", "cyd"):
        users.send(users.answer("a mug of clay", "A mug."), "rejected", user)
    assert [f.good for f in users.collect().judged] == [False]


def test_a_held_out_input_is_recognised_after_its_personal_data_is_replaced() -> None:
    apart = Sample(task=COPY.name, input={"facts": "write to ann@example.org, a mug"}, output={"text": "A mug."})
    users = Users()
    users.send(
        users.answer("Write to ann@example.org, a mug", "Mug."), "edited", "bob", edited_to={"text": "Some mug."}
    )
    found = users.collect([apart])
    assert found.samples == found.preferences == found.judged == ()
    assert [left.rule for left in found.left_out] == ["held_out"]
    assert "ann@example.org" not in found.left_out[0].reason, "the reason shows no personal data"


def test_the_majority_decides_and_a_tie_is_left_out() -> None:
    users = Users()
    mug, lamp = users.answer("a mug of clay", "A mug."), users.answer("an oaken lamp", "A lamp.")
    for answer, votes in ((mug, "yyn"), (lamp, "yn")):
        for user, vote in enumerate(votes):
            users.send(answer, "accepted" if vote == "y" else "rejected", f"u{user}")
    found = users.collect()
    assert [s.output["text"] for s in found.samples] == ["A mug."]
    assert [f.output["text"] for f in found.judged] == ["A mug."]
    left_out = [(left.number, left.rule) for left in found.left_out]
    assert left_out == [(1, "exact"), (3, "conflict"), (4, "conflict"), (5, "conflict")]


def test_repeated_events_of_one_user_are_one_vote() -> None:
    users = Users()
    for _ in range(3):
        users.send(users.answer("a mug of clay", "A mug."), "accepted", "ann")
    for user in ("bob", "cyd"):
        users.send(users.answer("a mug of clay", "A mug."), "rejected", user)
    assert [f.good for f in users.collect().judged] == [False]


def test_labels_of_one_input_are_decided_by_the_majority_and_texts_may_differ() -> None:
    users = Users(MOOD)
    for user, mood in (("ann", "good"), ("bob", "good"), ("cyd", "bad")):
        users.send(users.answer("rain all day", mood), "accepted", user)
    found = users.collect()
    assert [s.output for s in found.samples] == [{"mood": "good"}]
    assert [left.rule for left in found.left_out] == ["exact", "conflict"]
    texts = Users()
    for user, text in (("ann", "A mug of clay."), ("bob", "Clay, made into a fine mug.")):
        texts.send(texts.answer("a mug of clay", text), "accepted", user)
    assert len(texts.collect().samples) == 2


def test_preferences_in_both_directions_are_decided_by_the_majority() -> None:
    users = Users()
    for user, text, other in (("a", "One mug.", "A mug."), ("b", "A mug.", "One mug."), ("c", "A mug.", "One mug.")):
        users.send(users.answer("a mug of clay", text), "chosen", user, among=({"text": other},))
    found = users.collect()
    assert [p.chosen["text"] for p in found.preferences] == ["A mug."]
    assert "conflict" in {left.rule for left in found.left_out}


def test_an_edit_is_kept_before_its_near_duplicate() -> None:
    users = Users()
    long = "A stoneware mug in deep blue that holds a third of a litre of tea, safe in the dishwasher, made by hand"
    users.send(users.answer("a blue mug", f"{long}."), "accepted", "ann")
    users.send(users.answer("a blue mug", "Mug."), "edited", "bob", edited_to={"text": f"{long}!"})
    found = users.collect()
    assert [s.output["text"] for s in found.samples] == [f"{long}!"]
    assert [(left.number, left.rule) for left in found.left_out] == [(1, "near")]
    assert "event 2" in found.left_out[0].reason


def test_personal_data_is_replaced_in_all_training_data() -> None:
    users = Users()
    users.send(
        users.answer("call 13812345678 or ann@example.org", "Call 13812345678."),
        "edited",
        "ann",
        edited_to={"text": "Write to ann@example.org."},
    )
    found = users.collect()
    assert found.scrubbed == 6
    rows = "".join(x.model_dump_json() for x in (*found.samples, *found.preferences, *found.judged))
    assert "13812345678" not in rows and "ann@" not in rows and '"ann"' not in rows and "[email]" in rows


def test_an_edit_that_violates_the_contract_is_left_out_with_the_field() -> None:
    users = Users()
    users.send(users.answer("a mug", "Mug."), "edited", edited_to={"txt": "A mug."})
    (left,) = users.collect().left_out
    assert left.rule == "contract" and "text" in left.reason


HELD_OUT = [
    Sample(task=COPY.name, input={"facts": "name[The Mill], food[Italian], price[cheap]"}, output={"text": "Cheap."})
]


@pytest.mark.parametrize(
    "facts",
    [
        "name[The Mill], food[Italian], price[cheap]",
        "NAME[The  Mill], food[Italian], price[cheap] ",
        "name[The Mill], food[Italian], price[cheap].",
    ],
)
def test_an_input_that_resembles_a_held_out_one_is_left_out(facts: str) -> None:
    users = Users()
    users.send(users.answer(facts, "Mill."), "edited", edited_to={"text": "The Mill is cheap."})
    users.send(users.answer(facts, "Mill!"), "rejected")
    found = users.collect(HELD_OUT)
    assert found.samples == found.preferences == found.judged == ()
    assert {left.rule for left in found.left_out} == {"held_out"} and "The Mill" in found.left_out[0].reason


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text("abC ", min_size=1, max_size=8), max_size=6), st.lists(st.text("abc ", min_size=1, max_size=8)))
def test_an_input_that_equals_a_held_out_one_leaks(held_out, new) -> None:
    def sample(facts: str) -> Sample:
        return Sample(task=COPY.name, input={"facts": facts}, output={"text": "x"})

    found = leaks([sample(f) for f in new], [sample(f) for f in held_out])
    for place, facts in enumerate(new):
        if " ".join(facts.split()) in {" ".join(f.lower().split()) for f in held_out}:
            assert place in found


def test_a_different_input_does_not_leak() -> None:
    assert (
        leaks([Sample(task=COPY.name, input={"facts": "name[The Barn], food[French]"}, output={"text": "x"})], HELD_OUT)
        == {}
    )
