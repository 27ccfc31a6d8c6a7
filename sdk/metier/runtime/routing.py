"""Decides which predictor answers a task: a head, or the base with or without a LoRA adapter. Only this module does."""

from __future__ import annotations

import threading
import warnings

from metier.contracts import TaskContract, UsageError
from metier.decoding.adapter_store import BASE
from metier.decoding.decoder_session import DecoderSession
from metier.runtime.bundle import Bundle
from metier.runtime.generation_predictor import GenerationPredictor
from metier.runtime.head_predictor import HeadPredictor
from metier.runtime.head_set import HeadSet
from metier.runtime.predictor import Predictor


class AdapterMismatchWarning(UserWarning):
    """A request names an adapter for a task that the adapter was not trained for."""


class LanguageWarning(UserWarning):
    """An input is in a language that the base's card does not name."""


class Router:
    """The predictors of one bundle."""

    def __init__(self, bundle: Bundle, session: DecoderSession, heads: HeadSet, rows: int) -> None:
        self._bundle, self._session, self._heads, self._rows = bundle, session, heads, rows
        self._warned: set[str] = set()
        self._lock = threading.Lock()

    def predictor(self, task: TaskContract, adapter: str | None) -> Predictor:
        """The predictor for a task.

        Args:
            task: of the bundle.
            adapter: LoRA adapter or head; None takes the one that was trained for the task, `base` the base alone.

        Raises:
            UsageError: several were trained for the task and none is named, the head is another task's, or the bundle
                contains heads only.
        """
        name = adapter or self._trained_for(task.name)
        if name is not None and name in self._heads:
            head = self._heads[name]
            if head.task.name != task.name:
                raise UsageError(
                    f"the head {name} answers {head.task.name}, not {task.name}",
                    remedy="name a head or adapter of that task",
                )
            return HeadPredictor(head)
        self._bundle.tokenizer  # noqa: B018  raises where the bundle cannot generate
        if adapter is not None:
            self._warn(adapter, task.name)
        return GenerationPredictor(self._bundle, self._session, self._rows, name)

    def warn_of_language(self, language: str) -> None:
        """Warn once where the base's card does not name a language that an input is in."""
        base = self._bundle.manifest.base
        if not base.languages or base.names_language(language):
            return
        self._warn_once(
            f"an input is in {language}; the card of {base.id} names only {', '.join(base.languages)}", LanguageWarning
        )

    def _trained_for(self, task: str) -> str | None:
        """The one adapter or head that was trained for a task; None where there is none."""
        manifest = self._bundle.manifest
        found = [
            entry.name for entry in manifest.named if entry.card and task in {known.name for known in entry.card.tasks}
        ]
        if len(found) > 1:
            kinds = "adapters or heads" if manifest.heads else "adapters"
            raise UsageError(
                f"{len(found)} {kinds} were trained for {task}",
                where=str(self._bundle.path),
                remedy=f"name one: adapter={found[0]!r} or another of {', '.join(found[1:6])}",
            )
        return found[0] if found else None

    def _warn(self, adapter: str, task: str) -> None:
        entry = next((entry for entry in self._bundle.manifest.adapters if entry.name == adapter), None)
        if adapter == BASE or entry is None or entry.card is None:
            return
        trained = [known.name for known in entry.card.tasks]
        if task not in trained:
            self._warn_once(
                f"the adapter {adapter} was trained for {', '.join(trained)}, not for {task}", AdapterMismatchWarning
            )

    def _warn_once(self, message: str, category: type[UserWarning]) -> None:
        """Warn, unless the same was warned of before."""
        with self._lock:
            if message in self._warned:
                return
            self._warned.add(message)
        warnings.warn(message, category, stacklevel=5)
