"""A trial among users: a user always gets the same version, and feedback shows which version is better."""

import random

from metier.contracts import Answer, FeedbackEvent
from metier.feedback.stored_event import StoredEvent
from metier.iterate.canary import compare, gets_challenger


def test_a_larger_share_keeps_the_users_of_a_smaller_one() -> None:
    users = [f"user {i}" for i in range(5000)]
    small = {u for u in users if gets_challenger(u, "v0002", 0.1)}
    large = {u for u in users if gets_challenger(u, "v0002", 0.3)}
    assert 0.08 < len(small) / 5000 < 0.12 and 0.27 < len(large) / 5000 < 0.33 and small <= large
    assert small == {u for u in users if gets_challenger(u, "v0002", 0.1)}
    other = {u for u in users if gets_challenger(u, "v0003", 0.1)}
    assert len(other & small) < 0.3 * len(small)


def feedback(rates: dict[str, float], users: int, each: int, seed: int = 0) -> list[StoredEvent]:
    rng, events = random.Random(seed), []
    for adapter, rate in rates.items():
        for user in range(users):
            for _ in range(each):
                answer = Answer(task="a.b", input={}, output={}, adapter=adapter)
                event = FeedbackEvent(
                    answer=answer.id, kind="accepted" if rng.random() < rate else "rejected", user=f"u{user}"
                )
                events.append(StoredEvent(number=len(events) + 1, answer=answer, event=event))
    return events


def test_a_clear_difference_is_significant_and_none_is_claimed_without_one() -> None:
    better = compare(feedback({"v1": 0.5, "v2": 0.8}, 60, 3), "v1", "v2")
    assert better.significant and better.difference.low > 0 and better.answers == {"v1": 180, "v2": 180}
    claimed = sum(compare(feedback({"v1": 0.6, "v2": 0.6}, 40, 2, seed), "v1", "v2").significant for seed in range(40))
    assert claimed <= 6  # 5% are expected


def test_answers_before_the_trial_do_not_count() -> None:
    before, during = feedback({"v1": 0.0}, 40, 1), feedback({"v1": 0.9, "v2": 0.9}, 40, 2, seed=1)
    began = min(stored.answer.at for stored in during)
    assert all(stored.answer.at < began for stored in before)
    assert compare(before + during, "v1", "v2").answers["v1"] == 120
    trial = compare(before + during, "v1", "v2", since=began)
    assert trial.answers == {"v1": 80, "v2": 80} and not trial.significant


def test_one_user_with_many_answers_is_not_significant() -> None:
    events = feedback({"v1": 0.5}, 40, 2) + feedback({"v2": 1.0}, 1, 200)
    trial = compare(events, "v1", "v2")
    assert trial.users["v2"] == 1 and trial.good["v2"].value == 1.0
    assert compare(feedback({"v1": 0.5}, 40, 2), "v1", "v2").difference is None


def test_a_rating_does_not_make_an_edited_answer_good() -> None:
    answer = Answer(task="a.b", input={}, output={"text": "x"}, adapter="v1", user="ann")
    events = [
        FeedbackEvent(answer=answer.id, kind="edited", edited_to={"text": "y"}, user="ann"),
        FeedbackEvent(answer=answer.id, kind="rated", rating=1.0),  # ann's, since it is her answer
        FeedbackEvent(answer=answer.id, kind="rated", rating=1.0, user="bob"),
    ]
    trial = compare([StoredEvent(number=i, answer=answer, event=e) for i, e in enumerate(events, 1)], "v1", "v2")
    assert (trial.users["v1"], trial.answers["v1"], trial.good["v1"].value) == (2, 2, 0.5)


def test_the_latest_event_counts_and_an_unchanged_edit_is_an_approval() -> None:
    answer = Answer(task="a.b", input={}, output={"text": "x"}, adapter="v1")
    events = [
        FeedbackEvent(answer=answer.id, kind="accepted", user="ann"),
        FeedbackEvent(answer=answer.id, kind="rejected", user="ann"),
        FeedbackEvent(answer=answer.id, kind="edited", edited_to={"text": "x"}, user="bob"),
        FeedbackEvent(answer=answer.id, kind="rated", rating=0.5, user="cyd"),
        FeedbackEvent(answer=answer.id, kind="comment", comment="fine", user="ann"),
    ]
    stored = [StoredEvent(number=i, answer=answer, event=event) for i, event in enumerate(events, 1)]
    trial = compare(stored, "v1", "v2")
    assert trial.answers["v1"] == 2 and trial.good["v1"].value == 0.5


def test_a_few_users_who_agree_are_not_significant() -> None:
    """Both versions have the same share of good answers: each significant result is an error; 5% are expected."""
    for users in (1, 2, 3, 5):
        claimed = 0
        for seed in range(100):
            old = feedback({"v1": 0.6}, 30, 1, seed)
            new = feedback({"v2": 0.6}, users, 1, 1000 + seed)
            claimed += compare([*old, *new], "v1", "v2", resamples=500).significant
        assert claimed <= 10, users
    one = compare([*feedback({"v1": 1.0}, 1, 1), *feedback({"v2": 0.0}, 1, 1)], "v1", "v2")
    assert one.difference.value == -1 and one.difference.high > 0 and not one.significant
