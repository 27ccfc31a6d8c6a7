"""An engine that follows the registry: the champion answers, a share of the users gets the challenger, and every answer
is stored under the version that gave it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from metier.bases.finetune import load_finetune
from metier.contracts import Answer, Caller, Check, UsageError, Value
from metier.contracts.answer import new_id
from metier.contracts.finetune import HEAD, PEFT_CONFIG, WEIGHTS
from metier.feedback.store import FeedbackStore
from metier.feedback.store_recorder import StoreRecorder
from metier.iterate.canary import gets_challenger
from metier.iterate.registry import STATE, Registry
from metier.iterate.state import State
from metier.runtime.engine import Engine


class LiveEngine:
    """One engine, one registry and one store. Safe to use from any thread."""

    def __init__(
        self,
        engine: Engine,
        registry: Registry,
        store: FeedbackStore,
        *,
        checks: Sequence[Check] = (),
        keep: timedelta | None = None,
    ) -> None:
        """
        Args:
            engine: of a bundle with slots for adapters of the registry's base; for heads, of one with that base as a
                trunk.
            registry: its champion answers.
            store: where the engine stores its answers from now on.
            checks: the trade's; they run on every answer and are stored with it.
            keep: how long answers are kept; None keeps them for ever.

        Raises:
            UsageError: the engine's recorder writes into another store.
        """
        if engine.recorder is None:
            engine.recorder = StoreRecorder(store)
        elif getattr(engine.recorder, "store", None) is not store:
            raise UsageError(
                "the engine's recorder writes into another store",
                where=str(store.path),
                remedy="give LiveEngine the store of the recorder, or an engine without a recorder",
            )
        self.engine, self.registry, self.store = engine, registry, store
        self._task, self._checks, self._keep = registry.task.name, tuple(checks), keep
        self._state_file: tuple[int, int] | None = None
        self._loaded: set[str] = set()
        self._needed: set[str] = set()
        self._in_use: Counter[str] = Counter()
        self._state = registry.state()
        self._lock = threading.RLock()
        self.refresh()

    def refresh(self) -> State:
        """Load what the registry's state names now: a few milliseconds for new weights, none where nothing changed.

        Running requests keep the weights they started with. A version that is no longer in use stays loaded until the
        next change, for callers that just got its name from `version_for`. Every answer calls this first.
        """
        file = (self.registry.folder / STATE).stat()
        if (identity := (file.st_mtime_ns, file.st_ino)) == self._state_file:
            return self._state
        with self._lock:
            if identity == self._state_file:  # another thread was first
                return self._state
            state = self.registry.state()
            needed = _versions_in_use(state)
            for name in needed - self._loaded:
                load_version(self.engine, self.registry.adapter(name), self.registry.path(name))
                self._loaded.add(name)
            self._needed = needed | _versions_in_use(self._state)
            self._state, self._state_file = state, identity
            self._unload_unused()
        return self._state

    def version_for(self, key: str) -> str:
        """The version that answers a user, or a request without one.

        Args:
            key: the user, or the answer's id.
        """
        state = self.refresh()
        if state.challenger is not None and gets_challenger(key, state.challenger, state.share):
            return state.challenger
        return state.champion

    def answer(
        self, input: Value, *, user: str | None = None, id: str | None = None, consent: bool = False, **options: Any
    ) -> Answer:
        """Answer one input and store the answer. Feedback goes to `store.add_event(answer.id, …)`.

        Args:
            input: of the task.
            user: determines the version, and is stored with the answer.
            id: of the answer, where the product assigns one; otherwise a random one.
            consent: whether the user agreed that the answer may be used for training.
            **options: of `Engine.answer`. By default an answer with findings is stored, not generated again.

        Raises:
            as `Engine.answer`.
        """
        id = id or new_id()
        with self._request(user, id, consent) as request:
            self.engine.answer(self._task, input, self._checks, **{"retries": 0, **request, **options})
        return self._stored(id)

    async def aanswer(
        self, input: Value, *, user: str | None = None, id: str | None = None, consent: bool = False, **options: Any
    ) -> Answer:
        """`answer` for asyncio. Cancelling the awaiting task cancels the request."""
        id = id or new_id()
        await asyncio.to_thread(self.refresh)  # loading weights would block the event loop
        with self._request(user, id, consent) as request:
            await self.engine.aanswer(self._task, input, self._checks, **{"retries": 0, **request, **options})
        return await asyncio.to_thread(self._stored, id)

    def answer_many(
        self, inputs: Iterable[Value], *, user: str | None = None, consent: bool = False, **options: Any
    ) -> Iterator[Answer]:
        """`answer` for many inputs, in order, decoded together; without a user each input draws its own version.

        Inputs are read lazily, at most two batches ahead of the answer. Leaving the loop cancels the requests that have
        not started; running ones are answered and stored.
        """
        ahead: deque[Future[Answer]] = deque()
        pool = ThreadPoolExecutor(2 * self.engine.rows, thread_name_prefix="metier-live")
        try:
            for input in inputs:
                ahead.append(pool.submit(self.answer, input, user=user, consent=consent, **options))
                if len(ahead) >= 2 * self.engine.rows:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def stream(
        self, input: Value, *, user: str | None = None, id: str | None = None, consent: bool = False, **options: Any
    ) -> Iterator[str]:
        """Pieces of the reply's text as they are decoded; leaving the loop cancels the request, and nothing is stored.

        Args:
            input, user, consent: as `answer`.
            id: of the answer; feedback on it needs one.
            **options: of `Engine.stream`.
        """
        with self._request(user, id or new_id(), consent) as request:
            yield from self.engine.stream(self._task, input, **{**request, **options})

    @contextmanager
    def _request(self, user: str | None, id: str, consent: bool) -> Iterator[dict[str, Any]]:
        """The caller and the adapter of one request; its weights stay loaded until the block ends."""
        with self._lock:
            name = self.version_for(user or id)
            self._in_use[name] += 1
        try:
            until = datetime.now(UTC) + self._keep if self._keep else None
            caller = Caller(user=user, consent=consent, keep_until=until, answer_id=id)
            yield {"adapter": self.registry.adapter(name), "caller": caller}
        finally:
            with self._lock:
                self._in_use[name] -= 1
                self._unload_unused()

    def _unload_unused(self) -> None:
        """Unload the versions that neither the state nor a running request needs. The caller holds the lock."""
        for name in self._loaded - self._needed - set(+self._in_use):
            unload_version(self.engine, self.registry.adapter(name))
            self._loaded.discard(name)

    def _stored(self, id: str) -> Answer:
        answer = self.store.answer(id)
        assert answer is not None, "the engine has a recorder"
        return answer


def _versions_in_use(state: State) -> set[str]:
    return {name for name in (state.champion, state.challenger) if name}


def load_version(engine: Engine, name: str, folder: Path) -> None:
    """Load a fine-tune's weights, LoRA or a head over frozen features, into a running engine without an export.

    Args:
        engine: of a bundle with slots; for a head, of one with the head's base as a trunk.
        name: that requests give as `adapter`.
        folder: of the fine-tune.

    Raises:
        UsageError: the engine's bundle has no slots, or slots of another base; for a head, it lacks the task or the
            trunk.
        DataError: the head is damaged.
    """
    if (folder / HEAD).is_file():
        from metier.export.head_entries import entry_for, graph_of

        finetune = load_finetune(folder, produces="head")
        engine.heads.load(entry_for(engine.bundle.manifest, finetune, name), graph_of(finetune))
        return
    from safetensors.numpy import load_file

    config = json.loads((folder / PEFT_CONFIG).read_text("utf-8"))
    engine.load_adapter(name, load_file(folder / WEIGHTS), config)


def unload_version(engine: Engine, name: str) -> None:
    """Unload weights; running requests keep them."""
    engine.adapters.drop(name)
    engine.heads.unload(name)
