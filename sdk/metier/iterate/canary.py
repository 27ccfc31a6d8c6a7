"""A trial among users: who gets the challenger, and how the users' own verdicts on both compare."""

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

Verdicts = tuple[float, float]
"""How many answers a user let stand, and of how many."""


def chosen(key: str, challenger: str, share: float) -> bool:
    """Whether a user, or a request where nobody is named, gets the challenger.

    The same key gets the same answer on every machine and after every restart, a larger share keeps those who were
    in, and another challenger draws anew.
    """
    digest = hashlib.sha256(f"{challenger}\n{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < share


class Trial(Data):
    """What users made of both, in shares of answers that they let stand."""

    champion: str
    challenger: str
    users: dict[str, int]
    """Version → users who said anything."""
    answers: dict[str, int]
    """Version → answers that were judged."""
    stood: dict[str, Interval]
    """Version → share of them that were let stand, 0 to 1."""
    difference: Interval | None
    """The challenger's share less the champion's; None while either has no answer. Its interval is as wide as few users
    make it, see `compare`."""
    enough: bool
    """Whether the interval leaves out zero."""


def compare(
    told: Iterable[StoredEvent],
    champion: str,
    challenger: str,
    *,
    since: datetime | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Trial:
    """Judge a trial by its feedback.

    Only answers given since the trial began (`State.tried_since`) are counted where that is told: what the champion
    answered before it met other questions.

    Accepted, chosen, or rated four stars and more counts as let stand; edited, rejected, or rated two stars and less
    does not (`Feedback.stood`). A user's last word on an answer counts. Intervals are bootstrapped over users: one
    user's answers are no independent witnesses. A few who agree have no spread to draw from, so that for the
    difference's interval each side gets two users more, one who lets everything stand and one who lets nothing, after
    Agresti and Caffo (The American Statistician 54, 2000).
    """
    counted = (
        item
        for item in told
        if item.answer.adapter in (champion, challenger) and (since is None or item.answer.at >= since)
    )
    last: dict[tuple[str, str], tuple[str, str, bool]] = {}
    for item in latest_events(counted)[0]:
        if (stood := item.stood) is not None:
            last[item.answer.id, item.who] = (str(item.answer.adapter), item.who, stood)
    sides: dict[str, dict[str, list[bool]]] = {champion: {}, challenger: {}}
    for adapter, who, stood in last.values():
        sides[adapter].setdefault(who, []).append(stood)
    verdicts: dict[str, list[Verdicts]] = {
        name: [(sum(said), len(said)) for said in users.values()] for name, users in sides.items()
    }
    scores = {name: _shares(users, resamples, seed + i) for i, (name, users) in enumerate(verdicts.items())}
    difference = None
    if all(verdicts.values()):
        wide = {name: _shares(_doubted(users), resamples, seed + i) for i, (name, users) in enumerate(verdicts.items())}
        value, around = scores[challenger][0] - scores[champion][0], interval(wide[challenger] - wide[champion])
        difference = Interval(value=value, low=min(around.low, value), high=max(around.high, value))
    return Trial(
        champion=champion,
        challenger=challenger,
        users={name: len(users) for name, users in sides.items()},
        answers={name: sum(map(len, users.values())) for name, users in sides.items()},
        stood={name: interval(scores[name]) for name, users in sides.items() if users},
        difference=difference,
        enough=difference is not None and (difference.low > 0 or difference.high < 0),
    )


def _doubted(users: list[Verdicts]) -> list[Verdicts]:
    each = sum(given for _, given in users) / len(users)
    return [*users, (each, each), (0.0, each)]


def _shares(users: list[Verdicts], resamples: int, seed: int) -> np.ndarray:
    """Share of answers let stand, `[1 + resamples]`, as they are first."""
    if not users:
        return np.zeros(1 + resamples)
    stood, given = np.array(users, dtype=np.float64).T
    weights = resample_weights(len(users), resamples, seed)
    return np.asarray((weights @ stood) / (weights @ given))
