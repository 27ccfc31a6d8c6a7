"""Answers by a head: an input as groups of tokens, many in one pass, each with its labels' probabilities.

A head generates no text, so that nothing is sampled or regenerated, and a stream is one piece.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence

from metier.contracts import MetierError, TaskContract, UsageError, Value
from metier.prompting.reply import encode_reply
from metier.runtime.head import Head, Item
from metier.runtime.predictor import Draw, Failed, Prediction, PredictOptions, Reply

BATCH = 128
"""Inputs taken at once, so that texts of similar length share a pass."""


class HeadPredictor:
    """One head, and the task that it answers."""

    writes = False
    batch = BATCH

    def __init__(self, head: Head) -> None:
        self._head = head
        self.name: str | None = head.entry.name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HeadPredictor) and other._head is self._head

    def __hash__(self) -> int:
        return id(self._head)

    def window(self, retries: int) -> int:
        return BATCH

    def encode(self, task: TaskContract, input: Value, options: PredictOptions) -> Item:
        unsupported = sorted(name for name, value in options.sampling.items() if value not in (None, (), []))
        if options.shots:
            unsupported.append("shots")
        if unsupported:
            raise self._unsupported(", ".join(unsupported))
        return self._head.item(input, options.language)

    def vary(self, encoded: Item, draw: Draw) -> Item | None:
        if draw.candidates > 1:
            raise self._unsupported("candidates")
        return None if draw.attempt else encoded

    def predict(
        self, encoded: Sequence[Item], *, wait: float | None = 0, after: Prediction | None = None
    ) -> list[Prediction]:
        predictions: list[Prediction] = []
        for item, scores in zip(encoded, self._head.scores(encoded), strict=True):
            try:
                output, probabilities = self._head.output_of(item, scores)
            except MetierError as error:
                predictions.append(Failed(error))
            else:
                predictions.append(HeadPrediction(self._head.task, Reply(output=output, probabilities=probabilities)))
        return predictions

    def prompt(self, encoded: Item) -> str:
        return "\n".join(encoded.head_input.texts)

    def _unsupported(self, options: str) -> UsageError:
        return UsageError(
            f"{self._head.task.name} is answered by the head {self.name}, which generates no text and takes no "
            f"{options}",
            remedy="leave that out; a head takes language, adapter and deadline",
        )


class HeadPrediction:
    """A head's reply, which is complete from the start."""

    cancelled = False

    def __init__(self, task: TaskContract, reply: Reply) -> None:
        self._task, self._reply = task, reply

    def result(self) -> Reply:
        return self._reply

    async def aresult(self) -> Reply:
        return self._reply

    def pieces(self) -> Iterator[str]:
        assert self._reply.output is not None
        yield encode_reply(self._task, self._reply.output)

    async def apieces(self) -> AsyncIterator[str]:
        for piece in self.pieces():
            yield piece

    def when_done(self, callback: Callable[[], None]) -> None:
        callback()

    def cancel(self) -> None:
        return
