"""A trial among users: which users get the challenger, and how the feedback on both versions compares."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime

import numpy as np

from metier.contracts.schema import Data
from metier.feedback.latest_events import latest_events
from metier.feedback.stored_event import StoredEvent
from metier.metrics.bootstrap import interval, resample_weights
from metier.metrics.results import Interval

UserCounts = tuple[float, float]
"""(good answers, judged answers) of one user."""


def gets_challenger(key: str, challenger: str, share: float) -> bool:
    """Whether a user, or a request without a user, gets the challenger.

    The result depends on the arguments alone. A larger share keeps the users of a smaller one, and another challenger
    draws other users.

    Args:
        key: the user, or the id of the answer.
        challenger: name of the version.
        share: of the users, 0 to 1.
    """
    digest = hashlib.sha256(f"{challenger}\n{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < share


class Trial(Data):
    """How users judged the answers of both versions."""

    champion: str
    challenger: str
    users: dict[str, int]
    """Version → users who judged an answer."""
    answers: dict[str, int]
    """Version → answers that were judged."""
    good: dict[str, Interval]
    """Version → share of them that were good, 0 to 1."""
    difference: Interval | None
    """The challenger's share less the champion's; None while one of them has no judged answer. `compare` describes its
    interval."""
    significant: bool
    """Whether the interval excludes zero."""


def compare(
    events: Iterable[StoredEvent],
    champion: str,
    challenger: str,
    *,
    since: datetime | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Trial:
    """Judge a trial by its feedback.

    An answer is good where it was accepted, chosen, or rated four stars or more, and bad where it was edited, rejected,
    or rated two stars or less (`FeedbackEvent.is_good`). Of one user's events on an answer the latest counts. Intervals
    are bootstrapped over users, since answers to one user are not independent. For the difference's interval each side
    gets two further users, one with good answers only and one with bad answers only, after Agresti and Caffo (The
    American Statistician 54, 2000): few users who agree have no spread to resample.

    Args:
        events: of the task, in the order of writing.
        champion, challenger: names of the versions, as the store's answers have them.
        since: only answers from then on (`State.trial_since`): before the trial the champion received other inputs.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    counted = (
        item
        for item in events
        if item.answer.adapter in (champion, challenger) and (since is None or item.answer.at >= since)
    )
    latest: dict[tuple[str, str], tuple[str, str, bool]] = {}
    for item in latest_events(counted)[0]:
        if (good := item.is_good) is not None:
            latest[item.answer.id, item.voter] = (str(item.answer.adapter), item.voter, good)
    judged: dict[str, dict[str, list[bool]]] = {champion: {}, challenger: {}}
    for version, user, good in latest.values():
        judged[version].setdefault(user, []).append(good)
    counts: dict[str, list[UserCounts]] = {
        name: [(sum(answers), len(answers)) for answers in users.values()] for name, users in judged.items()
    }
    scores = {name: _shares(users, resamples, seed + i) for i, (name, users) in enumerate(counts.items())}
    difference = None
    if all(counts.values()):
        wide = {name: _shares(_widened(users), resamples, seed + i) for i, (name, users) in enumerate(counts.items())}
        value, around = scores[challenger][0] - scores[champion][0], interval(wide[challenger] - wide[champion])
        difference = Interval(value=value, low=min(around.low, value), high=max(around.high, value))
    return Trial(
        champion=champion,
        challenger=challenger,
        users={name: len(users) for name, users in judged.items()},
        answers={name: sum(map(len, users.values())) for name, users in judged.items()},
        good={name: interval(scores[name]) for name, users in judged.items() if users},
        difference=difference,
        significant=difference is not None and (difference.low > 0 or difference.high < 0),
    )


def _widened(users: list[UserCounts]) -> list[UserCounts]:
    """The users and two more with the mean number of answers: one with good answers only, one with bad ones only."""
    mean = sum(answers for _, answers in users) / len(users)
    return [*users, (mean, mean), (0.0, mean)]


def _shares(users: list[UserCounts], resamples: int, seed: int) -> np.ndarray:
    """Share of good answers, `[1 + resamples]`: first without resampling."""
    if not users:
        return np.zeros(1 + resamples)
    good, answers = np.array(users, dtype=np.float64).T
    weights = resample_weights(len(users), resamples, seed)
    return np.asarray((weights @ good) / (weights @ answers))
