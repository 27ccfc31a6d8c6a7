"""Every version of one task's weights in a folder, and which of them are in use.

    registry/
      versions/v0001/      the fine-tune, version.json, and pool.jsonl: all samples it was ever trained on
      held_out.jsonl       the samples that every version is measured on
      state.json           champion, challenger and its share, history

A version is complete before any file names it, and the state is replaced in one rename: a process killed at any moment
leaves the old state or the new one. Changing the champion changes a name, not weights. All files are readable by their
owner only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from filelock import FileLock, Timeout
from pydantic import ValidationError

from metier.contracts import FineTune, UsageError
from metier.data.samples_file import write_samples
from metier.data.training import held_out_of, train_of
from metier.disk import atomic_folder, write_atomic
from metier.disk.private import make_private
from metier.iterate import state as changes
from metier.iterate.state import Action, Change, HistoryEntry, State
from metier.iterate.version import EventRange, Version
from metier.iterate.versions import HELD_OUT, VERSIONS, Versions, check_method, unreadable, write_version_folder

if TYPE_CHECKING:
    from metier.feedback.store import FeedbackStore

STATE = "state.json"
WORK, START, ITERATION_LOCK = "work", "iteration.json", ".iteration.lock"
"""Of an iteration: its folder, the file with its settings and feedback, and the lock of the process that runs it."""


class Registry(Versions):
    """A registry's folder. Any number of processes may have it open."""

    def __init__(self, folder: str | Path) -> None:
        """Open a folder that `Registry.create` made.

        Raises:
            UsageError: the folder is not a registry.
        """
        super().__init__(Path(folder).expanduser())
        if not (self.folder / STATE).is_file():
            raise UsageError(
                "this is not a registry", where=str(self.folder), remedy="create one with `metier iterate start`"
            )

    @classmethod
    def create(cls, folder: str | Path, finetune: FineTune, *, until: int = 0) -> Self:
        """A registry whose first champion is a fine-tune, and whose held-out data is that of the fine-tune.

        Args:
            folder: new.
            finetune: of one task: LoRA weights that generate text, from `adapt`, or a head over frozen features, from
                `adapt`.
            until: number of the last feedback event that it was trained on.

        Raises:
            UsageError: the folder is not empty, or the fine-tune has several tasks, no held-out data, or weights that
                are not an adapter or a head.
        """
        path = Path(folder).expanduser()
        if (path / STATE).is_file():
            raise UsageError("there is a registry already", where=str(path), remedy="use it, or give a new folder")
        if path.is_dir() and any(path.iterdir()):
            raise UsageError("the folder is not empty", where=str(path), remedy="give a new folder")
        if len(finetune.card.tasks) != 1:
            raise UsageError(
                "a registry holds one task", where=str(finetune.path), remedy="adapt each task in a run of its own"
            )
        check_method(finetune)
        held_out = held_out_of(finetune.path)
        version = Version(name="v0001", created=datetime.now(UTC), until=until)
        with atomic_folder(path, "a registry") as part:  # weights never lie beside another run's held-out data
            write_samples(part / HELD_OUT, held_out)
            write_version_folder(part / VERSIONS / version.name, finetune, version, train_of(finetune.path))
            created = HistoryEntry(action="created", version=version.name, why=f"from {finetune.card.name}")
            state = State(champions=(version.name,), consumed=until, history=(created,))
            write_atomic(part / STATE, state.model_dump_json(indent=1))
            make_private(part)
        return cls(path)

    def state(self) -> State:
        """The present state.

        Raises:
            DataError: its file is damaged, or was written by an earlier Metier.
        """
        try:
            return State.model_validate_json((self.folder / STATE).read_bytes())
        except ValidationError as error:
            raise unreadable(self.folder / STATE, error) from error

    def promote(self, name: str, why: str = "", *, over: str | None = None) -> State:
        """Make a version the champion: its feedback counts as consumed. A trial of that version ends.

        Args:
            name: of the version.
            why: for the history.
            over: the champion that it was compared with; None promotes it over any.

        Raises:
            UsageError: it is the champion already, or `over` is no longer the champion.
        """
        self.path(name)
        return self._change("promoted", lambda state: changes.promote(state, name, why, over))

    def rollback(self, why: str = "") -> State:
        """Make the champion before the present one champion again, and end any trial.

        Feedback that only later versions were trained on counts as new again.

        Raises:
            UsageError: there is no earlier champion.
        """
        return self._change("rolled back", lambda state: changes.roll_back(state, why))

    def canary(self, name: str, share: float, why: str = "", *, over: str | None = None) -> State:
        """Give a version that is not the champion to a share of the users, between 0 and 1.

        Raises:
            UsageError: it is the champion, another version is on trial, or `over`, the champion that it was compared
                with, is no longer the champion.
        """
        self.path(name)
        if not 0 < share < 1:
            raise UsageError(
                f"the share of a trial is between 0 and 1, not {share:g}", remedy="give another share, such as 0.1"
            )
        why = why or f"{share:.0%} of the users"
        return self._change("canary", lambda state: changes.start_trial(state, name, share, why, over))

    def withdraw(self, why: str = "") -> State:
        """End the challenger's trial; the champion answers all users.

        Raises:
            UsageError: there is no challenger.
        """
        return self._change("withdrawn", lambda state: changes.withdraw(state, why))

    def reject(self, name: str, why: str, events: Iterable[EventRange]) -> State:
        """Record, once, that a version failed the gate, and reject the events that it was trained on."""
        rejected = tuple(events)
        return self._change("rejected", lambda state: changes.reject(state, name, why, rejected))

    def reject_events(self, events: Iterable[EventRange], why: str = "") -> State:
        """Reject events by hand; `rejected_days.reject_days` selects them."""
        rejected = tuple(events)
        return self._change(
            "days rejected",
            lambda state: Change(state.model_copy(update={"rejected": (*state.rejected, *rejected)}), None, why),
        )

    def reinstate(self, why: str = "") -> State:
        """Make all rejected feedback available again: it counts as new, and may be rejected again.

        Raises:
            UsageError: no feedback is rejected.
        """
        return self._change("reinstated", lambda state: changes.reinstate(state, why))

    def check_store(self, store: FeedbackStore) -> None:
        """See that this registry uses a store: numbers of events mean nothing in another store.

        Raises:
            UsageError: the registry uses another store.
        """
        known = self.state().store
        if known not in (None, store.id):
            raise UsageError(
                f"this registry does not use the store {store.path}",
                where=str(self.folder),
                remedy="name the store that it uses; if that is lost, create a new registry from the champion: metier"
                f" iterate start NEW --from {self.path(self.state().champion)}",
            )

    def bind_store(self, store: FeedbackStore) -> None:
        """`check_store`; from the first call on the registry uses no other store.

        Raises:
            UsageError: as `check_store`.
        """
        with self._lock:
            self.check_store(store)
            if (state := self.state()).store is None:
                self._write_state(state.model_copy(update={"store": store.id}))

    def clear(self, until: int) -> None:
        """Record that an iteration judged the feedback up to an event and did not find it harmful."""
        with self._lock:
            self._write_state(self.state().model_copy(update={"cleared": until}))

    @contextmanager
    def iteration_lock(self, why: str = "", remedy: str = "wait until it has finished") -> Iterator[None]:
        """Inside, no other process runs an iteration.

        Args:
            why: added to the error: what the other iteration prevents.
            remedy: of the error.

        Raises:
            UsageError: another process runs an iteration.
        """
        lock = FileLock(self.folder / ITERATION_LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            reason = ", ".join(filter(None, ["another process runs an iteration", why]))
            raise UsageError(reason, where=str(self.folder), remedy=remedy) from error
        try:
            yield
        finally:
            lock.release()

    @property
    def lock(self) -> FileLock:
        """While it is held, no other process adds a version or changes the state."""
        return self._lock

    def _change(self, action: Action, change: Callable[[State], Change | None]) -> State:
        """Read the state, change it and write it, all under the lock; a change of None keeps it."""
        with self._lock:
            state = self.state()
            try:
                changed = change(state)
            except UsageError as error:
                error.where = error.where or str(self.folder)
                raise
            if changed is None:
                return state
            version = changed.version or changed.state.champion
            entry = HistoryEntry(action=action, version=version, before=state.champion, why=changed.why)
            # The new champion's own events, no more and no fewer, are consumed.
            consumed = self.version(changed.state.champion).until
            new = changed.state.model_copy(update={"history": (*state.history, entry), "consumed": consumed})
            self._write_state(new)
            return new

    def _write_state(self, state: State) -> None:
        write_atomic(self.folder / STATE, state.model_dump_json(indent=1))
        make_private(self.folder / STATE)
