"""Rejecting the feedback of some days by hand, such as that of a day when users were misled."""

from __future__ import annotations

from datetime import UTC, date

from metier.contracts import UsageError
from metier.contracts.recipe import spans_of
from metier.feedback.store import FeedbackStore
from metier.iterate.registry import Registry
from metier.iterate.version import EventRange, subtract_ranges


def reject_days(
    registry: Registry, store: FeedbackStore, first: date, last: date, why: str = ""
) -> tuple[EventRange, ...]:
    """Reject the waiting feedback of some days (UTC): no iteration trains on it unless it is reinstated.

    Args:
        registry: of the task.
        store: its feedback.
        first, last: days, both included.
        why: for the history.

    Returns:
        The rejected events.

    Raises:
        UsageError: no feedback of those days waits, the registry uses another store, or an iteration is running, which
            may be training on it.
    """
    with registry.iteration_lock(
        "which may be training on the feedback to reject",
        "run the same command when it has finished; `metier iterate rollback` reverts what it promotes",
    ):
        registry.check_store(store)
        state, newest = registry.state(), store.last_number()
        waiting = subtract_ranges(registry.version(state.champion).untrained(newest), state.rejected)
        days = ((item.number, item.event.at.astimezone(UTC).date()) for item in store.events(registry.task.name))
        selected = spans_of(number for number, day in days if first <= day <= last)
        events = subtract_ranges(selected, subtract_ranges([(1, newest)], waiting))
        if not events:
            raise UsageError(
                f"no feedback from {first} to {last} waits for training",
                where=str(store.path),
                remedy="feedback that the champion was trained on waits again after `metier iterate rollback`",
            )
        registry.bind_store(store)
        registry.reject_events(events, f"{why}: {first} to {last}" if why else f"{first} to {last}")
        return events
