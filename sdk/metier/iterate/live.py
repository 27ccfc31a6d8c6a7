"""An engine that follows the registry: the champion answers, a share of the users gets the challenger, and every answer
goes into the feedback store under the version that gave it."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from metier.contracts import Check, Value
from metier.contracts.check import run_checks
from metier.contracts.finetune import PEFT_CONFIG, WEIGHTS
from metier.iterate.canary import chosen
from metier.iterate.grounding import grounded, open_documents, takes_passages
from metier.iterate.records import Answer, new_id
from metier.iterate.registry import STATE, Registry
from metier.iterate.store import FeedbackStore
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
            engine: of a bundle with slots, made from the registry's base.
            registry: whose champion shall answer.
            store: where answers are written down.
            checks: the trade's, run on every answer and written down with it.
            keep: how long answers are kept; None for ever.
        """
        self.engine, self.registry, self.store = engine, registry, store
        self._task, self._checks, self._keep = registry.task.name, tuple(checks), keep
        self._seen: tuple[int, int] | None = None
        self._worn: set[str] = set()
        self._state = registry.state()
        self.documents = open_documents(engine.bundle.path) if takes_passages(registry.task) else None
        """The bundle's documents, for a task that takes passages: those that bear on an input are put before it."""
        self._lock = threading.Lock()
        self.refresh()

    def refresh(self) -> State:
        """Take up what the registry says now: a few milliseconds for new weights, none where nothing changed.

        Requests under way keep the weights they began with. Called before every answer; a product need not.
        """
        file = (self.registry.folder / STATE).stat()
        if (seen := (file.st_mtime_ns, file.st_ino)) == self._seen:
            return self._state
        with self._lock:
            state = self.registry.state()
            needed = {name for name in (state.champion, state.challenger) if name}
            for name in needed - self._worn:
                wear(self.engine, self.registry.adapter(name), self.registry.path(name))
            for name in self._worn - needed:
                self.engine.adapters.drop(self.registry.adapter(name))
            self._state, self._seen, self._worn = state, seen, needed
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
        """Answer one input, and write the answer down; what the user does with it goes to `store.tell(answer.id, …)`.

        Args:
            input: of the task.
            user: decides which version answers, and whose the row is.
            id: of the answer, where the product has one; else one is made.
            consent: whether the user agreed that it may be learnt from.
            **options: of `Engine.run`.

        Raises:
            as `Engine.run`.
        """
        id = id or new_id()
        adapter = self.registry.adapter(self.whose(user or id))
        if self.documents is not None:
            input = grounded(self.registry.task, input, self.documents)
        output = self.engine.run(self._task, input, adapter=adapter, **options)
        answer = Answer(
            id=id,
            task=self._task,
            input=input,
            output=output,
            language=options.get("language"),
            user=user,
            bundle=self.engine.bundle.manifest.name,
            adapter=adapter,
            checks=run_checks(self._checks, input, output),
            consent=consent,
            keep_until=datetime.now(UTC) + self._keep if self._keep else None,
        )
        self.store.add(answer)
        return answer


def wear(engine: Engine, name: str, folder: Path) -> None:
    """Make a fine-tune's weights usable in a running engine; no export in between.

    Raises:
        UsageError: the engine's bundle has no slots, or they are another base's.
    """
    from safetensors.numpy import load_file

    config = json.loads((folder / PEFT_CONFIG).read_text("utf-8"))
    engine.set_adapter(name, load_file(folder / WEIGHTS), config)
