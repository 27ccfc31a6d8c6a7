"""Every version of one task's weights in a folder, and which of them is at work.

    registry/
      versions/v0001/      the fine-tune as it was written, version.json, and pool.jsonl: all it ever learnt
      held_out.jsonl       what every version is measured on
      state.json           champion, challenger and its share, history

A version is written whole before anything names it, and the state is replaced in one rename: a process killed at any
moment leaves what was there, or what was to be there. Changing champion moves a name, not weights.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from filelock import FileLock, Timeout

from metier.adapt.methods import is_live
from metier.bases.finetune import load_finetune
from metier.contracts import FineTune, Sample, TaskContract, UsageError
from metier.contracts.documents import read_document
from metier.contracts.finetune import CARD, HEAD, PEFT_CONFIG, WEIGHTS
from metier.contracts.heads import HEAD_FILE
from metier.contracts.recipe import spans_of
from metier.data.samples_file import read_samples, write_samples
from metier.data.training import held_out_of, train_of
from metier.disk import whole_folder, write_whole
from metier.iterate.version import NAME, Move, State, Stretch, Version, without

if TYPE_CHECKING:
    from metier.feedback.store import FeedbackStore

STATE, VERSIONS, HELD_OUT = "state.json", "versions", "held_out.jsonl"
WORK, BEGUN, TURN_LOCK = "work", "turn.json", ".turn.lock"
"""Of a turn: its folder, what it is about, and who takes it."""
_FILES = (WEIGHTS, PEFT_CONFIG, HEAD, HEAD_FILE, CARD, "recipe.yaml", "train.jsonl")

_AGAIN = "start the registry anew with this version of Metier, from an adapted fine-tune"


class Registry:
    """A registry's folder. Any number of processes may have it open."""

    def __init__(self, folder: str | Path) -> None:
        """Open a folder that `Registry.create` made.

        Raises:
            UsageError: there is no registry.
        """
        self.folder = Path(folder).expanduser()
        if not (self.folder / STATE).is_file():
            raise UsageError(
                "this is not a registry", where=str(self.folder), remedy="make one with `metier iterate start`"
            )
        self._lock = FileLock(self.folder / ".lock")

    @classmethod
    def create(cls, folder: str | Path, finetune: FineTune, *, until: int = 0) -> Self:
        """A registry whose first champion is a fine-tune, and whose held-out data is what that was not trained on.

        Args:
            folder: new.
            finetune: of one task: LoRA weights that answer in text, from `adapt`, or a head over frozen features, from
                `adapt`.
            until: number of the last feedback event that it knows of already.

        Raises:
            UsageError: there is a registry already, or something else, or the fine-tune has several tasks, no held-out
                data, or weights of the base's own.
        """
        path = Path(folder).expanduser()
        if (path / STATE).is_file():
            raise UsageError("there is a registry already", where=str(path), remedy="use it, or give a new folder")
        if path.is_dir() and any(path.iterdir()):
            raise UsageError("there is something else already", where=str(path), remedy="give a new folder")
        if len(finetune.card.tasks) != 1:
            raise UsageError("a registry is of one task", where=str(finetune.path), remedy="adapt the tasks apart")
        _check_goes_on(finetune)
        held_out = held_out_of(finetune.path)
        version = Version(name="v0001", created=datetime.now(UTC), until=until)
        with whole_folder(path, "a registry") as part:  # weights never lie beside another run's held-out data
            write_samples(part / HELD_OUT, held_out)
            _write(part / VERSIONS / version.name, finetune, version, train_of(finetune.path))
            begun = Move(what="begun", version=version.name, why=f"{finetune.card.name}, as it was given")
            state = State(trail=(version.name,), consumed=until, history=(begun,))
            write_whole(part / STATE, state.model_dump_json(indent=1))
        return cls(path)

    def state(self) -> State:
        """What is at work now.

        Raises:
            DataError: the state does not parse.
        """
        return read_document(State, self.folder / STATE, remedy=_AGAIN, name="the state")

    @cached_property
    def task(self) -> TaskContract:
        """The contract of the registry's task."""
        return FineTune.packaged(self.path(self.names()[0])).card.tasks[0]

    def names(self) -> list[str]:
        """Every version, oldest first."""
        found = [path.name for path in (self.folder / VERSIONS).iterdir() if re.fullmatch(NAME, path.name)]
        return sorted(found, key=lambda name: int(name[1:]))

    def path(self, name: str) -> Path:
        """The folder of a version.

        Raises:
            UsageError: there is none of that name.
        """
        if name not in self.names():
            raise UsageError(
                f"there is no version {name}", where=str(self.folder), remedy=f"versions: {', '.join(self.names())}"
            )
        return self.folder / VERSIONS / name

    def adapter(self, name: str) -> str:
        """What an engine, and the feedback store, call a version: `shop.describe.v0002`, so that tasks do not clash."""
        return f"{self.task.name}.{name}"

    def version(self, name: str) -> Version:
        """How a version came to be.

        Raises:
            DataError: its record does not parse, or is of another schema version.
        """
        return read_document(Version, self.path(name) / "version.json", remedy=_AGAIN, name="the version")

    def finetune(self, name: str) -> FineTune:
        """A version's weights, verified against their card."""
        return load_finetune(self.path(name), produces=None)

    def pool(self, name: str) -> list[Sample]:
        """All that a version and its ancestors learnt, less what was erased since."""
        file = self.path(name) / "pool.jsonl"
        return list(read_samples(file))

    def held_out(self) -> list[Sample]:
        """What every version is measured on; none of it is ever learnt."""
        return list(read_samples(self.folder / HELD_OUT))

    def add(self, finetune: FineTune, pool: Sequence[Sample], **fields: Any) -> Version:
        """Keep a fine-tune as a new version, at work nowhere yet.

        Args:
            finetune: from `adapt` or `adapt`.
            pool: all that it and its ancestors learnt.
            **fields: of `Version`: parent, until, skipped, learnt, replayed, verdict. Of a version
                with a parent and no `until` nothing is known but that it learnt what its parent had.

        Raises:
            UsageError: its weights are the base's own, which no running engine takes up.
        """
        _check_goes_on(finetune)
        if fields.get("parent") and "until" not in fields:
            parent = self.version(fields["parent"])
            fields = {"until": parent.until, "skipped": parent.skipped, **fields}
        with self._lock:
            last = max((int(name[1:]) for name in self.names()), default=0)
            version = Version(name=f"v{last + 1:04d}", created=datetime.now(UTC), **fields)
            _write(self.folder / VERSIONS / version.name, finetune, version, pool)
            return version

    def promote(self, name: str, why: str = "", *, over: str | None = None) -> State:
        """Make a version the champion: what it learnt is used up now. A challenger of that name ends its trial.

        Raises:
            UsageError: it is champion already, or `over`, the champion that it was held against, no longer is.
        """
        self.path(name)

        def change(state: State) -> State:
            self._check_over(state, over)
            if state.champion == name:
                raise UsageError(f"{name} is the champion already", where=str(self.folder))
            ends = {"challenger": None, "share": 0.0} if state.challenger == name else {}
            return state.model_copy(update={"trail": (*state.trail, name), **ends})

        return self._move("promoted", name, why, change)

    def rollback(self, why: str = "") -> State:
        """Make the champion before the present one champion again, and end any trial.

        What only later versions learnt counts as new again.

        Raises:
            UsageError: there was none before.
        """

        def change(state: State) -> State:
            if len(state.trail) < 2:
                raise UsageError("there is no earlier champion", where=str(self.folder))
            return state.model_copy(update={"trail": state.trail[:-1], "challenger": None, "share": 0.0})

        return self._move("rolled back", None, why, change)

    def canary(self, name: str, share: float, why: str = "", *, over: str | None = None) -> State:
        """Let a share of the users, 0 to 1, have a version that is not the champion.

        Raises:
            UsageError: it is the champion, another is on trial, or `over`, the champion that it was held against, no
                longer is.
        """
        self.path(name)
        if not 0 < share < 1:
            raise UsageError(f"a share of {share} is no trial", remedy="give one between 0 and 1, such as 0.1")

        def change(state: State) -> State:
            self._check_over(state, over)
            if state.champion == name:
                raise UsageError(f"{name} is the champion", where=str(self.folder), remedy="try another version")
            if state.challenger not in (None, name):
                raise UsageError(
                    f"{state.challenger} is on trial",
                    where=str(self.folder),
                    remedy="promote or withdraw it first: metier iterate promote, metier iterate withdraw",
                )
            return state.model_copy(update={"challenger": name, "share": share})

        return self._move("canary", name, why or f"{share:.0%} of the users", change)

    def withdraw(self, why: str = "") -> State:
        """End the challenger's trial; the champion answers everybody."""

        def change(state: State) -> State:
            if state.challenger is None:
                raise UsageError("there is no challenger", where=str(self.folder))
            return state.model_copy(update={"challenger": None, "share": 0.0})

        return self._move("withdrawn", self.state().challenger, why, change)

    def refuse(self, name: str, why: str, events: Iterable[Stretch]) -> State:
        """Note, once, that a version did not pass and that these events, which it learnt, are not learnt again."""
        known = self.state()
        if any((move.what, move.version) == ("refused", name) for move in known.history):
            return known

        def change(state: State) -> State:
            return state.model_copy(update={"refused": (*state.refused, *events)})

        return self._move("refused", name, why, change)

    def refuse_days(self, store: FeedbackStore, first: date, last: date, why: str = "") -> tuple[Stretch, ...]:
        """Learn nothing from feedback of some days (UTC) that waits, such as a bad one's among that of others.

        Returns:
            Which events those are.

        Raises:
            UsageError: none of those days waits to be learnt, the store is another's, or a turn is under way, which may
                be learning from it.
        """
        with self.between_turns(
            "which may be learning from what is refused",
            "do the same again when it has ended; what it promotes, rollback takes back",
        ):
            return self._refuse_days(store, first, last, why)

    def _refuse_days(self, store: FeedbackStore, first: date, last: date, why: str) -> tuple[Stretch, ...]:
        self.check_store(store)
        state, newest = self.state(), store.last()
        waiting = without(self.version(state.champion).unlearnt(newest), state.refused)
        told = ((item.number, item.event.at.astimezone(UTC).date()) for item in store.told(self.task.name))
        asked = spans_of(number for number, day in told if first <= day <= last)
        events = without(asked, without([(1, newest)], waiting))
        if not events:
            raise UsageError(
                f"no feedback from {first} to {last} waits to be learnt",
                where=str(store.path),
                remedy="what the champion has learnt waits again after `metier iterate rollback`",
            )
        self.learn_from(store)

        def change(state: State) -> State:
            return state.model_copy(update={"refused": (*state.refused, *events)})

        self._move("days refused", None, f"{why}: {first} to {last}" if why else f"{first} to {last}", change)
        return events

    def pardon(self, why: str = "") -> State:
        """Lift every refusal: the feedback counts as new again, and may be refused again.

        Raises:
            UsageError: nothing is refused.
        """
        lifted = self.state().refused

        def change(state: State) -> State:
            if not state.refused:
                raise UsageError("nothing is refused", where=str(self.folder))
            # Whatever is pardoned has to stand its trial again, though later feedback has been found harmless.
            cleared = min(state.cleared, *(first - 1 for first, _ in state.refused))
            return state.model_copy(update={"refused": (), "cleared": cleared})

        said = f"events {', '.join(f'{first} to {last}' for first, last in lifted)}"
        return self._move("pardoned", None, f"{why}: {said}" if why else said, change)

    def check_store(self, store: FeedbackStore) -> None:
        """See that a store is the one that the registry learns from: numbers of events mean nothing in another.

        Raises:
            UsageError: it is another.
        """
        known = self.state().store
        if known not in (None, store.id):
            raise UsageError(
                f"{store.path} is not the store that this registry learns from",
                where=str(self.folder),
                remedy="name that one; where it is lost, begin a new registry from the champion: metier iterate start"
                f" NEW --from {self.path(self.state().champion)}",
            )

    def learn_from(self, store: FeedbackStore) -> None:
        """`check_store`, and from now on no other.

        Raises:
            UsageError: as `check_store`.
        """
        with self._lock:
            self.check_store(store)
            if (state := self.state()).store is None:
                bound = state.model_copy(update={"store": store.id})
                write_whole(self.folder / STATE, bound.model_dump_json(indent=1))

    def clear(self, until: int) -> None:
        """Note that a turn has judged the feedback up to an event, and did not find it harmful."""
        with self._lock:
            state = self.state().model_copy(update={"cleared": until})
            write_whole(self.folder / STATE, state.model_dump_json(indent=1))

    def learnt_from(self, events: Iterable[int]) -> list[str]:
        """Versions that learnt from any of these feedback events: what an erased user's words went into."""
        wanted = set(events)

        def touched(name: str) -> bool:
            if wanted.intersection(self.version(name).forgotten):
                return True
            places = (sample.provenance for sample in self.pool(name))
            return any(p is not None and p.source == "feedback" and p.line in wanted for p in places)

        return [name for name in self.names() if touched(name)]

    def _move(self, what: Any, version: str | None, why: str, change: Any) -> State:
        with self._lock:
            state = self.state()
            changed: State = change(state)
            named = version or changed.champion
            move = Move(what=what, version=named, before=state.champion, why=why)
            used = self.version(changed.champion).until  # whoever is champion now, no more and no less
            changed = changed.model_copy(update={"history": (*state.history, move), "consumed": used})
            write_whole(self.folder / STATE, changed.model_dump_json(indent=1))
            return changed

    def _check_over(self, state: State, over: str | None) -> None:
        if over is not None and state.champion != over:
            raise UsageError(
                f"{state.champion} became champion meanwhile, in place of {over}",
                where=str(self.folder),
                remedy="take the turn again: it goes on from there",
            )

    @contextmanager
    def between_turns(self, why: str = "", remedy: str = "wait for it to end") -> Iterator[None]:
        """Inside, nobody takes a turn.

        Args:
            why: a turn of another process is in the way, in words.
            remedy: what to do then.

        Raises:
            UsageError: another process takes one.
        """
        lock = FileLock(self.folder / TURN_LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            said = ", ".join(filter(None, ["another process takes a turn", why]))
            raise UsageError(said, where=str(self.folder), remedy=remedy) from error
        try:
            yield
        finally:
            lock.release()

    def alone(self) -> FileLock:
        """A lock: while it is held nobody adds a version or moves the state."""
        return self._lock


def _check_goes_on(finetune: FineTune) -> None:
    recipe = finetune.card.recipe
    if not is_live(recipe):
        raise UsageError(
            "a registry goes on from LoRA weights that answer in text, or from a head over frozen features: what else "
            "learns is a graph of its own, which a running engine cannot take up",
            where=str(finetune.path),
            remedy="adapt with produces: text and method: lora, or with produces: head and method: features",
        )


def _write(folder: Path, finetune: FineTune, version: Version, pool: Iterable[Sample]) -> None:
    with whole_folder(folder, "a version") as part:
        for name in _FILES:
            if (finetune.path / name).is_file():
                shutil.copyfile(finetune.path / name, part / name)
        write_samples(part / "pool.jsonl", pool)
        # Exports prove themselves on it; a turn's own training saw none.
        shutil.copyfile(folder.parent.parent / HELD_OUT, part / HELD_OUT)
        (part / "version.json").write_text(version.model_dump_json(indent=1), "utf-8")
