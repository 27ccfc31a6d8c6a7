"""From feedback to samples: every rule does what it says, shows what it left out, and nothing held out is learnt."""

from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from metier.contracts import FeedbackEvent, Sample, TaskContract, TaskKind, prompt
from metier.data.leakage import leaks
from metier.feedback import Answer, Event
from metier.feedback.harvest import harvest
from metier.feedback.records import Told


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


class Desk:
    """Feedback as it comes in, without a file."""

    def __init__(self, task: TaskContract = COPY) -> None:
        self.task, self.told = task, []

    def answer(self, facts: str, output, **fields) -> Answer:
        value = {"text": output} if self.task is COPY else {"mood": output}
        return Answer(**{"task": self.task.name, "input": {"facts": facts}, "output": value, "consent": True, **fields})

    def tell(self, answer: Answer, kind: str, user: str | None = None, **fields) -> None:
        event = Event(answer=answer.id, kind=kind, user=user, **fields)
        self.told.append(Told(number=len(self.told) + 1, answer=answer, event=event))

    def harvest(self, held_out=()):
        return harvest(self.task, self.told, held_out)


def test_every_kind_of_event_teaches_what_it_says() -> None:
    desk = Desk()
    desk.tell(desk.answer("a blue mug of stoneware", "Mug."), "edited", edited_to={"text": "A blue stoneware mug."})
    desk.tell(desk.answer("an oak lamp for the desk", "A lamp of oak."), "accepted")
    desk.tell(desk.answer("a chair with four legs", "Buy now!"), "rejected")
    desk.tell(desk.answer("a green kettle, two litres", "A green kettle."), "chosen", among=({"text": "Kettle!"},))
    desk.tell(desk.answer("a tin of white paint", "White paint."), "rated", rating=1.0)
    desk.tell(desk.answer("a spade with an ash handle", "Spade."), "rated", rating=0.5)
    desk.tell(desk.answer("a rope of ten metres", "Rope."), "comment", comment="hm")
    found = desk.harvest()
    assert [(s.output["text"], s.provenance.line) for s in found.samples] == [
        ("A blue stoneware mug.", 1), ("A lamp of oak.", 2), ("A green kettle.", 4), ("White paint.", 5)
    ]  # fmt: skip
    assert [(p.chosen["text"], p.rejected["text"]) for p in found.preferences] == [
        ("A blue stoneware mug.", "Mug."), ("A green kettle.", "Kettle!")
    ]  # fmt: skip
    bad = [f.answer["text"] for f in found.judged if f.event is FeedbackEvent.REJECTED]
    assert bad == ["Buy now!"] and len(found.judged) == 5
    assert (found.events, found.until, found.left_out) == (7, 7, ())


def test_without_consent_nothing_is_learnt_and_it_is_said() -> None:
    desk = Desk()
    desk.tell(desk.answer("a mug", "Mug.", consent=False), "accepted")
    found = desk.harvest()
    assert found.samples == found.judged == () and [left.rule for left in found.left_out] == ["consent"]


def test_the_last_word_of_a_user_counts() -> None:
    desk = Desk()
    mug = desk.answer("a mug", "Mug.")
    desk.tell(mug, "accepted", "ann")
    desk.tell(mug, "rejected", "ann")
    found = desk.harvest()
    assert found.samples == () and [f.event for f in found.judged] == ["rejected"]
    assert [(left.number, left.rule) for left in found.left_out] == [(1, "superseded")]


def test_stars_take_back_no_edit_and_are_for_no_text_that_was_mended() -> None:
    for rating in (0.0, 0.5, 1.0):
        desk = Desk()
        mug = desk.answer("a blue mug", "Mug.")
        desk.tell(mug, "edited", "ann", edited_to={"text": "A blue mug."})
        desk.tell(mug, "rated", "ann", rating=rating)
        found = desk.harvest()
        assert [s.output["text"] for s in found.samples] == ["A blue mug."]
        assert [(p.chosen["text"], p.rejected["text"]) for p in found.preferences] == [("A blue mug.", "Mug.")]
        assert [f.answer["text"] for f in found.judged] == ["A blue mug."]
        assert [(left.number, left.rule) for left in found.left_out] == [(2, "superseded")]
        assert "event 1" in found.left_out[0].reason


def test_stars_take_back_no_choice_and_three_of_them_no_approval() -> None:
    desk = Desk()
    mug, lamp = desk.answer("a blue mug", "A blue mug."), desk.answer("an oaken lamp", "A lamp.")
    desk.tell(mug, "chosen", "ann", among=({"text": "Mug!"},))
    desk.tell(mug, "rated", "ann", rating=1.0)
    desk.tell(lamp, "accepted", "ann")
    desk.tell(lamp, "rated", "ann", rating=0.5)
    found = desk.harvest()
    assert [s.output["text"] for s in found.samples] == ["A blue mug.", "A lamp."] and len(found.preferences) == 1


def test_who_rejects_an_answer_and_gives_it_five_stars_teaches_nothing() -> None:
    desk = Desk()
    mug = desk.answer("a blue mug", "Mug.")
    desk.tell(mug, "rejected", "ann")
    desk.tell(mug, "rated", "ann", rating=1.0)
    found = desk.harvest()
    assert found.samples == found.judged == () and {left.rule for left in found.left_out} == {"conflict"}


def test_two_users_without_a_name_do_not_speak_for_each_other() -> None:
    desk = Desk()
    mug = desk.answer("a blue mug", "Mug.")
    desk.tell(mug, "edited", edited_to={"text": "A blue mug."})
    desk.tell(mug, "rejected")
    found = desk.harvest()
    assert [s.output["text"] for s in found.samples] == ["A blue mug."] and found.left_out == ()
    assert [f.answer["text"] for f in found.judged if f.event is FeedbackEvent.REJECTED] == ["Mug."]


def test_who_asked_is_one_vote_where_the_events_name_nobody() -> None:
    desk = Desk()
    for _ in range(3):
        desk.tell(desk.answer("a mug of clay", "A mug.", user="ann"), "accepted")
    for user in ("bob", "cyd"):
        desk.tell(desk.answer("a mug of clay", "A mug."), "rejected", user)
    assert [f.event for f in desk.harvest().judged] == ["rejected"]


def test_a_held_out_input_with_personal_data_in_it_is_known_again_without() -> None:
    apart = Sample(task=COPY.name, input={"facts": "write to ann@example.org, a mug"}, output={"text": "A mug."})
    desk = Desk()
    desk.tell(desk.answer("Write to ann@example.org, a mug", "Mug."), "edited", "bob", edited_to={"text": "Some mug."})
    found = desk.harvest([apart])
    assert found.samples == found.preferences == found.judged == ()
    assert [left.rule for left in found.left_out] == ["held_out"]
    assert "ann@example.org" not in found.left_out[0].reason, "what is left out says why, not whose"


def test_a_majority_decides_and_a_tie_teaches_nothing() -> None:
    desk = Desk()
    mug, lamp = desk.answer("a mug of clay", "A mug."), desk.answer("an oaken lamp", "A lamp.")
    for answer, votes in ((mug, "yyn"), (lamp, "yn")):
        for user, vote in enumerate(votes):
            desk.tell(answer, "accepted" if vote == "y" else "rejected", f"u{user}")
    found = desk.harvest()
    assert [s.output["text"] for s in found.samples] == ["A mug."]
    assert [f.answer["text"] for f in found.judged] == ["A mug."]
    left_out = [(left.number, left.rule) for left in found.left_out]
    assert left_out == [(1, "exact"), (3, "conflict"), (4, "conflict"), (5, "conflict")]


def test_one_user_who_repeats_himself_is_one_vote() -> None:
    desk = Desk()
    for _ in range(3):
        desk.tell(desk.answer("a mug of clay", "A mug."), "accepted", "ann")
    for user in ("bob", "cyd"):
        desk.tell(desk.answer("a mug of clay", "A mug."), "rejected", user)
    assert [f.event for f in desk.harvest().judged] == ["rejected"]


def test_labels_of_one_input_go_by_the_majority_and_texts_may_differ() -> None:
    desk = Desk(MOOD)
    for user, mood in (("ann", "good"), ("bob", "good"), ("cyd", "bad")):
        desk.tell(desk.answer("rain all day", mood), "accepted", user)
    found = desk.harvest()
    assert [s.output for s in found.samples] == [{"mood": "good"}]
    assert [left.rule for left in found.left_out] == ["exact", "conflict"]
    texts = Desk()
    for user, text in (("ann", "A mug of clay."), ("bob", "Clay, made into a fine mug.")):
        texts.tell(texts.answer("a mug of clay", text), "accepted", user)
    assert len(texts.harvest().samples) == 2


def test_preferences_in_both_directions_go_by_the_majority() -> None:
    desk = Desk()
    for user, text, other in (("a", "One mug.", "A mug."), ("b", "A mug.", "One mug."), ("c", "A mug.", "One mug.")):
        desk.tell(desk.answer("a mug of clay", text), "chosen", user, among=({"text": other},))
    found = desk.harvest()
    assert [p.chosen["text"] for p in found.preferences] == ["A mug."]
    assert "conflict" in {left.rule for left in found.left_out}


def test_of_near_duplicates_the_edit_stays() -> None:
    desk = Desk()
    long = "A stoneware mug in deep blue that holds a third of a litre of tea, safe in the dishwasher, made by hand"
    desk.tell(desk.answer("a blue mug", f"{long}."), "accepted", "ann")
    desk.tell(desk.answer("a blue mug", "Mug."), "edited", "bob", edited_to={"text": f"{long}!"})
    found = desk.harvest()
    assert [s.output["text"] for s in found.samples] == [f"{long}!"]
    assert [(left.number, left.rule) for left in found.left_out] == [(1, "near")]
    assert "event 2" in found.left_out[0].reason


def test_personal_data_is_gone_from_everything_that_is_learnt() -> None:
    desk = Desk()
    desk.tell(
        desk.answer("call 13812345678 or ann@example.org", "Call 13812345678."),
        "edited",
        "ann",
        edited_to={"text": "Write to ann@example.org."},
    )
    found = desk.harvest()
    assert found.scrubbed == 6
    told = "".join(x.model_dump_json() for x in (*found.samples, *found.preferences, *found.judged))
    assert "13812345678" not in told and "ann@" not in told and '"ann"' not in told and "[email]" in told


def test_what_misses_the_contract_is_left_out_with_the_field() -> None:
    desk = Desk()
    desk.tell(desk.answer("a mug", "Mug."), "edited", edited_to={"txt": "A mug."})
    (left,) = desk.harvest().left_out
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
def test_what_is_like_a_held_out_input_is_never_learnt(facts: str) -> None:
    desk = Desk()
    desk.tell(desk.answer(facts, "Mill."), "edited", edited_to={"text": "The Mill is cheap."})
    desk.tell(desk.answer(facts, "Mill!"), "rejected")
    found = desk.harvest(HELD_OUT)
    assert found.samples == found.preferences == found.judged == ()
    assert {left.rule for left in found.left_out} == {"held_out"} and "The Mill" in found.left_out[0].reason


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text("abC ", min_size=1, max_size=8), max_size=6), st.lists(st.text("abc ", min_size=1, max_size=8)))
def test_no_input_that_equals_a_held_out_one_gets_through(held_out, new) -> None:
    def made(facts: str) -> Sample:
        return Sample(task=COPY.name, input={"facts": facts}, output={"text": "x"})

    found = leaks([made(f) for f in new], [made(f) for f in held_out])
    for place, facts in enumerate(new):
        if " ".join(facts.split()) in {" ".join(f.lower().split()) for f in held_out}:
            assert place in found


def test_an_input_of_its_own_is_kept() -> None:
    assert (
        leaks([Sample(task=COPY.name, input={"facts": "name[The Barn], food[French]"}, output={"text": "x"})], HELD_OUT)
        == {}
    )
