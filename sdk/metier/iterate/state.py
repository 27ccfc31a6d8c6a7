"""Which versions of a registry are in use, and every change of that. Data only: `registry` reads and writes it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from pydantic import AwareDatetime, Field

from metier.contracts import UsageError
from metier.contracts.schema import Data
from metier.iterate.version import REGISTRY_VERSION, EventRange

Action = Literal["created", "promoted", "rolled back", "canary", "withdrawn", "rejected", "days rejected", "reinstated"]


class HistoryEntry(Data):
    """One change of the state."""

    at: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))
    action: Action
    version: str | None
    before: str | None = None
    """Champion before the change."""
    why: str = ""


class State(Data):
    """The versions in use: `state.json`, replaced in one rename."""

    schema_version: Literal["2"] = REGISTRY_VERSION
    champions: tuple[str, ...] = Field(min_length=1)
    """All champions, the present one last; a rollback removes the last one."""
    challenger: str | None = None
    """Version on trial: a share of the users gets it."""
    share: float = Field(default=0.0, ge=0, le=1)
    """The challenger's share of the users."""
    consumed: int = 0
    """Number of the last feedback event that was available when the champion was trained: its own `until`. The events
    of a challenger count as consumed once it is promoted."""
    cleared: int = 0
    """Number of the last event that an iteration has judged not harmful, though not proved useful either."""
    rejected: tuple[EventRange, ...] = ()
    """Events that made weights worse for sure, or that were rejected by hand: not trained on unless reinstated."""
    history: tuple[HistoryEntry, ...] = ()
    store: str | None = None
    """`FeedbackStore.id` of the store whose events have these numbers; None before the first iteration."""

    @property
    def champion(self) -> str:
        """The version that answers, but for the challenger's share."""
        return self.champions[-1]

    @property
    def trial_since(self) -> datetime | None:
        """When the challenger's trial began, at whatever share; None without a challenger."""
        version, since = None, None
        for entry in self.history:
            if entry.action == "canary" and entry.version != version:
                version, since = entry.version, entry.at
            elif entry.action in ("withdrawn", "rolled back") or (
                entry.action == "promoted" and entry.version == version
            ):
                version, since = None, None
        return since


class Change(NamedTuple):
    """A new state, and what its history says of it."""

    state: State
    version: str | None = None
    """Version that the change is about; None is the new champion."""
    why: str = ""


def promote(state: State, name: str, why: str, over: str | None) -> Change:
    """Make a version the champion.

    Raises:
        UsageError: it is the champion already, or `over` is no longer the champion.
    """
    _check_champion(state, over)
    if state.champion == name:
        raise UsageError(f"{name} is the champion already")
    ends = {"challenger": None, "share": 0.0} if state.challenger == name else {}
    return Change(state.model_copy(update={"champions": (*state.champions, name), **ends}), name, why)


def roll_back(state: State, why: str) -> Change:
    """Make the previous champion the champion again, and end any trial.

    Raises:
        UsageError: there is no previous champion.
    """
    if len(state.champions) < 2:
        raise UsageError("there is no earlier champion")
    ended = {"champions": state.champions[:-1], "challenger": None, "share": 0.0}
    return Change(state.model_copy(update=ended), None, why)


def start_trial(state: State, name: str, share: float, why: str, over: str | None) -> Change:
    """Give a version to a share of the users.

    Raises:
        UsageError: it is the champion, another version is on trial, or `over` is no longer the champion.
    """
    _check_champion(state, over)
    if state.champion == name:
        raise UsageError(f"{name} is the champion", remedy="try another version")
    if state.challenger not in (None, name):
        raise UsageError(
            f"{state.challenger} is on trial",
            remedy="promote or withdraw it first: metier iterate promote, metier iterate withdraw",
        )
    return Change(state.model_copy(update={"challenger": name, "share": share}), name, why)


def withdraw(state: State, why: str) -> Change:
    """End the trial.

    Raises:
        UsageError: there is no challenger.
    """
    if state.challenger is None:
        raise UsageError("there is no challenger")
    return Change(state.model_copy(update={"challenger": None, "share": 0.0}), state.challenger, why)


def reject(state: State, name: str, why: str, events: Iterable[EventRange]) -> Change | None:
    """Reject the events that a version was trained on; None where that is recorded already."""
    if any((entry.action, entry.version) == ("rejected", name) for entry in state.history):
        return None
    return Change(state.model_copy(update={"rejected": (*state.rejected, *events)}), name, why)


def reinstate(state: State, why: str) -> Change:
    """Make all rejected events available again.

    Raises:
        UsageError: no event is rejected.
    """
    if not state.rejected:
        raise UsageError("no feedback is rejected")
    # Reinstated events are judged again, even if later ones have been cleared.
    cleared = min(state.cleared, *(first - 1 for first, _ in state.rejected))
    events = f"events {', '.join(f'{first} to {last}' for first, last in state.rejected)}"
    changed = state.model_copy(update={"rejected": (), "cleared": cleared})
    return Change(changed, None, f"{why}: {events}" if why else events)


def _check_champion(state: State, over: str | None) -> None:
    if over is not None and state.champion != over:
        raise UsageError(
            f"{state.champion} became champion meanwhile, in place of {over}",
            remedy="run the iteration again: it starts from the new champion",
        )
