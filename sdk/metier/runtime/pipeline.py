"""The steps from an input to an answer: prepare, predict, validate, check, render, record.

Each step is one function; the engine's sync, asyncio, many and streaming calls are views of this module.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from queue import SimpleQueue

from metier.contracts import Answer, Bridge, ContractError, MetierError, RequestError, TaskContract, UsageError, Value
from metier.contracts.answer import new_id
from metier.runtime.bundle import Bundle
from metier.runtime.documents import add_passages
from metier.runtime.input_bridges import run_input_bridges
from metier.runtime.output_bridges import check_output_bridges, run_output_bridges
from metier.runtime.passage_index import PassageIndex
from metier.runtime.predictor import Prediction
from metier.runtime.recorder import Recorder, record
from metier.runtime.retries import Attempts, Query
from metier.runtime.routing import Router
from metier.runtime.validation import Judged, validate

ERRORS_AHEAD = 128
"""Queries read at once where none of them can be opened."""


@dataclass
class Pipeline:
    """The steps for one bundle. Safe to use from any thread."""

    bundle: Bundle
    router: Router
    bridges: tuple[Bridge, ...] = ()
    documents: PassageIndex | None = None
    recorder: Recorder | None = None

    def prepare_input(self, task: TaskContract, input: Value) -> Value:
        """An input as the model gets it: with the fields that bridges fill and the passages that documents have for it.

        Raises:
            ContractError: it does not satisfy the contract. UsageError: no bridge fills a field.
            PluginError: a bridge failed.
        """
        input = run_input_bridges(task, input, self.bridges)
        if self.documents is None or not task.takes_passages:
            return input
        return add_passages(task, task.check_input(input), self.documents)

    def open(self, query: Query) -> Attempts:
        """A query, prepared and encoded, with its predictor; nothing is predicted yet.

        Raises:
            MetierError: as `prepare_input`, `Router.predictor` and `Predictor.encode`.
        """
        task, options = self.bundle.task(query.task), query.options
        if query.candidates < 1 or query.retries < 0:
            raise UsageError("candidates is at least 1 and retries at least 0", remedy="give other numbers")
        task.check_language(options.language)
        predictor = self.router.predictor(task, options.adapter)
        check_output_bridges(task, self.bridges)
        input = task.check_input(self.prepare_input(task, query.input))
        if predictor.writes:
            self.router.warn_of_language(task.language_of(input, options.language))
        return Attempts(query, task, input, predictor, predictor.encode(task, input, options))

    def answers(
        self, queries: Iterable[Query], *, wait: float | None, stop: bool
    ) -> Generator[Answer | MetierError, None, None]:
        """An answer or an error for each query, in order, predicted together.

        Args:
            queries: read lazily, at most a predictor's window ahead.
            wait: seconds to wait where the queue is full; None waits without limit.
            stop: read no queries behind the first error.
        """
        rest, done = iter(queries), SimpleQueue[Attempts]()
        ahead: deque[Attempts | MetierError] = deque()
        try:
            while True:
                self._start(self._read(rest, ahead, stop), done, wait)
                if not ahead:
                    return
                first = ahead[0]
                while isinstance(first, Attempts) and not first.ended:
                    self._advance(done, wait)
                ahead.popleft()
                yield first if isinstance(first, MetierError) else self._outcome(first)
        finally:  # the caller stopped early, or an answer failed: nothing behind it is needed
            for attempts in ahead:
                if isinstance(attempts, Attempts):
                    attempts.cancel()

    async def aanswer(self, query: Query) -> Answer:
        """`answers` of one query, for asyncio. Cancelling the awaiting task cancels the query.

        Raises:
            MetierError: there is no answer.
        """
        attempts = await asyncio.to_thread(self.open, query)
        try:
            while not attempts.ended:
                if attempts.predictor.writes:
                    attempts.start(0)
                else:
                    await asyncio.to_thread(attempts.start, 0)
                waiting = [prediction.aresult() for prediction in attempts.running]
                await asyncio.gather(*waiting, return_exceptions=True)
                await asyncio.to_thread(attempts.take)
        except BaseException:  # a task that is cancelled early never starts the waiting that would cancel its replies
            attempts.cancel()
            raise
        return await asyncio.to_thread(self._finish, attempts)

    def stream(self, query: Query) -> Iterator[str]:
        """Pieces of the reply's text as they are decoded; leaving the loop cancels the rest.

        Where there is a recorder, the last piece follows only after the answer was recorded.
        """
        attempts = self.open(_streamable(query))
        (prediction,) = attempts.predictor.predict(attempts.next_draws())
        held: str | None = None
        try:
            for piece in prediction.pieces():
                if held is not None:
                    yield held
                held = piece
                if self.recorder is None:
                    yield piece
                    held = None
            self._record_stream(attempts, prediction)
            if held is not None:
                yield held
        finally:
            prediction.cancel()

    async def astream(self, query: Query) -> AsyncIterator[str]:
        """`stream` for asyncio."""
        attempts = await asyncio.to_thread(self.open, _streamable(query))
        predict = attempts.predictor.predict
        draws = attempts.next_draws()
        (prediction,) = predict(draws) if attempts.predictor.writes else await asyncio.to_thread(predict, draws)
        held: str | None = None
        try:
            async for piece in prediction.apieces():
                if held is not None:
                    yield held
                held = piece
                if self.recorder is None:
                    yield piece
                    held = None
            await asyncio.to_thread(self._record_stream, attempts, prediction)
            if held is not None:
                yield held
        finally:
            prediction.cancel()

    def _read(self, rest: Iterator[Query], ahead: deque[Attempts | MetierError], stop: bool) -> list[Attempts]:
        """The next queries, opened, as many as are worth holding; those that cannot be opened are errors in place."""
        opened: list[Attempts] = []
        while not (stop and ahead and isinstance(ahead[-1], MetierError)):
            last = next((each for each in reversed(ahead) if isinstance(each, Attempts)), None)
            window = ERRORS_AHEAD if last is None else last.predictor.window(last.query.retries)
            batch = 1 if last is None or opened else last.predictor.batch
            if len(ahead) > window - batch:  # nothing is read until a full batch fits
                break
            if (query := next(rest, None)) is None:
                break
            try:
                ahead.append(attempts := self.open(query))
                opened.append(attempts)
            except MetierError as error:
                ahead.append(error)
        return opened

    def _start(self, opened: Sequence[Attempts], done: SimpleQueue[Attempts], wait: float | None) -> None:
        """Start opened queries, those of one predictor together."""
        for predictor, group in groupby(opened, lambda attempts: attempts.predictor):
            members = list(group)
            if predictor.writes:
                for attempts in members:
                    attempts.start(wait)
            else:
                _start_together(members)
            for attempts in members:
                _notify(attempts, done)

    def _advance(self, done: SimpleQueue[Attempts], wait: float | None) -> None:
        """Judge the next attempt whose predictions are complete, and start another where one is needed."""
        attempts = done.get()
        if not attempts.complete():
            return
        attempts.take()
        if not attempts.ended:
            attempts.start(wait)
            _notify(attempts, done)

    def _outcome(self, attempts: Attempts) -> Answer | MetierError:
        try:
            return self._finish(attempts)
        except MetierError as error:
            return error

    def _finish(self, attempts: Attempts) -> Answer:
        """The best output, rendered and recorded."""
        best = attempts.best()
        output = run_output_bridges(attempts.contract, best.output, self.bridges)
        return self._record(attempts, best, output)

    def _record_stream(self, attempts: Attempts, prediction: Prediction) -> None:
        """Record a streamed reply where its reader saw a complete and valid one; it is not rendered."""
        if self.recorder is None:
            return
        try:
            reply = prediction.result()
            output = validate(attempts.contract.for_input(attempts.input), reply)
        except (ContractError, RequestError):
            return
        attempts.predicted = 1
        self._record(attempts, Judged(output, {}, reply), output)

    def _record(self, attempts: Attempts, best: Judged, output: Value) -> Answer:
        query, caller, reply = attempts.query, attempts.query.caller, best.reply
        recorder = self.recorder if query.record else None
        answer = Answer(
            id=caller.answer_id or new_id(),
            task=query.task,
            input=attempts.input,
            output=output,
            language=query.options.language,
            # Kept with recorded answers only: it is as long as the input, and decoding it takes time.
            prompt=attempts.predictor.prompt(attempts.encoded) if recorder else None,
            bundle=self.bundle.manifest.name,
            adapter=attempts.predictor.name,
            findings=best.findings,
            attempts=max(attempts.predicted, 1),
            finish_reason=reply.finish_reason,
            probabilities=dict(reply.probabilities),
            log_likelihood=reply.log_likelihood,
            user=caller.user,
            consent=caller.consent,
            keep_until=caller.keep_until,
        )
        return record(recorder, answer)


def _streamable(query: Query) -> Query:
    if query.checks or query.retries or query.candidates != 1:
        raise UsageError(
            "a stream takes no checks, retries or candidates: its text is read before it could be judged",
            remedy="leave them out, or use answer",
        )
    return query


def _start_together(members: Sequence[Attempts]) -> None:
    """Start the attempts of one head in one batch; where that fails, each alone, so that one cannot fail the others."""
    predictor = members[0].predictor
    try:
        predictions = predictor.predict([each.next_draws()[0] for each in members])
    except MetierError:
        for each in members:
            each.start(None)
    else:
        for each, prediction in zip(members, predictions, strict=True):
            each.started([prediction])


def _notify(attempts: Attempts, done: SimpleQueue[Attempts]) -> None:
    for prediction in attempts.running:
        prediction.when_done(lambda: done.put(attempts))
