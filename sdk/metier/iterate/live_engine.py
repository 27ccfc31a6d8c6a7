"""An engine that follows the registry: the champion answers, a share of the users gets the challenger, and every answer
goes into the feedback store under the version that gave it, whichever way it was asked for."""

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
from metier.iterate.canary import chosen
from metier.iterate.registry import STATE, Registry
from metier.iterate.version import State
from metier.runtime.engine import Engine


class Live:
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
            engine: of a bundle with slots, made from the registry's base; for heads, of one with that base as a trunk.
            registry: whose champion shall answer.
            store: where the engine writes its answers down from now on.
            checks: the trade's, run on every answer and written down with it.
            keep: how long answers are kept; None for ever.
        """
        if engine.recorder is None:
            engine.recorder = StoreRecorder(store)
        elif getattr(engine.recorder, "store", None) is not store:
            raise UsageError(
                "the engine writes its answers down elsewhere",
                where=str(store.path),
                remedy="give Live the store of the engine's recorder, or the engine no recorder",
            )
        self.engine, self.registry, self.store = engine, registry, store
        self._task, self._checks, self._keep = registry.task.name, tuple(checks), keep
        self._seen: tuple[int, int] | None = None
        self._worn: set[str] = set()
        self._wanted: set[str] = set()
        self._asked: Counter[str] = Counter()
        self._state = registry.state()
        self._lock = threading.RLock()
        self.refresh()

    def refresh(self) -> State:
        """Take up what the registry says now: a few milliseconds for new weights, none where nothing changed.

        Requests under way keep the weights they began with. A version that is at work no more stays in memory until the
        next change, for who asked `whose` a moment ago. Called before every answer; a product need not.
        """
        file = (self.registry.folder / STATE).stat()
        if (seen := (file.st_mtime_ns, file.st_ino)) == self._seen:
            return self._state
        with self._lock:
            state = self.registry.state()
            needed = _at_work(state)
            for name in needed - self._worn:
                wear(self.engine, self.registry.adapter(name), self.registry.path(name))
                self._worn.add(name)
            self._wanted = needed | _at_work(self._state)
            self._state, self._seen = state, seen
            self._shed()
        return self._state

    def whose(self, key: str) -> str:
        """The version that answers a user, or a request where nobody is named."""
        state = self.refresh()
        if state.challenger is not None and chosen(key, state.challenger, state.share):
            return state.challenger
        return state.champion

    def answer(
        self, input: Value, *, user: str | None = None, id: str | None = None, consent: bool = False, **options: Any
    ) -> Answer:
        """Answer one input, and write the answer down; what the user does with it goes to
        `store.add_event(answer.id, …)`.

        Args:
            input: of the task.
            user: decides which version answers, and whose the row is.
            id: of the answer, where the product has one; else one is made.
            consent: whether the user agreed that it may be learnt from.
            **options: of `Engine.answer`; unless asked otherwise, what a check finds is written down, not asked again.

        Raises:
            as `Engine.answer`.
        """
        id = id or new_id()
        with self._asking(user, id, consent) as asking:
            self.engine.answer(self._task, input, self._checks, **{"retries": 0, **asking, **options})
        return self._written(id)

    async def aanswer(
        self, input: Value, *, user: str | None = None, id: str | None = None, consent: bool = False, **options: Any
    ) -> Answer:
        """`answer` for asyncio. Cancelling the awaiting task cancels the request."""
        id = id or new_id()
        await asyncio.to_thread(self.refresh)  # new weights take their time, which the event loop must not wait
        with self._asking(user, id, consent) as asking:
            await self.engine.aanswer(self._task, input, self._checks, **{"retries": 0, **asking, **options})
        return await asyncio.to_thread(self._written, id)

    def answer_many(
        self, inputs: Iterable[Value], *, user: str | None = None, consent: bool = False, **options: Any
    ) -> Iterator[Answer]:
        """`answer` for many inputs, in order, decoded together; where no user is named each draws its own version.

        Inputs are taken lazily, at most two batches ahead of the answer. Who leaves the loop gives up what has not
        begun; what is under way is answered, and written down.
        """
        ahead: deque[Future[Answer]] = deque()
        desk = ThreadPoolExecutor(2 * self.engine.rows, thread_name_prefix="metier-live")
        try:
            for input in inputs:
                ahead.append(desk.submit(self.answer, input, user=user, consent=consent, **options))
                if len(ahead) >= 2 * self.engine.rows:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            desk.shutdown(cancel_futures=True)

    def stream(
        self, input: Value, *, user: str | None = None, id: str | None = None, consent: bool = False, **options: Any
    ) -> Iterator[str]:
        """Pieces of the reply's text as they are decoded; leaving the loop cancels the rest, which is no answer then.

        Arguments as `answer`; give an `id`, to tell later what became of it. Options as `Engine.stream`.
        """
        with self._asking(user, id or new_id(), consent) as asking:
            yield from self.engine.stream(self._task, input, **{**asking, **options})

    @contextmanager
    def _asking(self, user: str | None, id: str, consent: bool) -> Iterator[dict[str, Any]]:
        """Who asks, and which weights answer; they stay as long as this holds."""
        with self._lock:
            name = self.whose(user or id)
            self._asked[name] += 1
        try:
            until = datetime.now(UTC) + self._keep if self._keep else None
            caller = Caller(user=user, consent=consent, keep_until=until, answer_id=id)
            yield {"adapter": self.registry.adapter(name), "caller": caller}
        finally:
            with self._lock:
                self._asked[name] -= 1
                self._shed()

    def _shed(self) -> None:
        """Let go of the weights that nobody wants and nobody is asking; the lock is held."""
        for name in self._worn - self._wanted - set(+self._asked):
            doff(self.engine, self.registry.adapter(name))
            self._worn.discard(name)

    def _written(self, id: str) -> Answer:
        answer = self.store.answer(id)
        assert answer is not None, "the engine has a recorder"
        return answer


def _at_work(state: State) -> set[str]:
    return {name for name in (state.champion, state.challenger) if name}


def wear(engine: Engine, name: str, folder: Path) -> None:
    """Make a fine-tune's weights, LoRA or a head over frozen features, usable in a running engine without an export.

    Raises:
        UsageError: the engine's bundle has no slots, or they are another base's; for a head, it has not the task, or
            no trunk of that base.
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


def doff(engine: Engine, name: str) -> None:
    """Forget weights that an engine wore; answers under way keep them."""
    engine.adapters.drop(name)
    engine.heads.unload(name)
