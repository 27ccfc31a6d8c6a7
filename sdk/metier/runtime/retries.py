"""One input on its way to an answer: what is predicted next, and which prediction wins.

Where checks find something or no reply is valid, the input is predicted again at a higher temperature. The input is
prepared and encoded once. This module starts no prediction itself.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from metier.contracts import ANONYMOUS, Caller, Check, MetierError, TaskContract, Value
from metier.contracts.check import run_checks
from metier.runtime.predictor import Draw, Encoded, Failed, Prediction, PredictOptions, Predictor
from metier.runtime.validation import Judged, validate


@dataclass(frozen=True)
class Query:
    """One input and everything that its answer depends on."""

    task: str
    input: Value
    options: PredictOptions = field(default_factory=PredictOptions)
    checks: Sequence[Check] = ()
    retries: int = 0
    candidates: int = 1
    caller: Caller = ANONYMOUS
    record: bool = True


class Attempts:
    """The attempts to answer one query. Not thread-safe: its caller's thread owns it."""

    def __init__(
        self, query: Query, contract: TaskContract, input: Value, predictor: Predictor, encoded: Encoded
    ) -> None:
        """
        Args:
            query: as the caller gave it.
            contract: of the task.
            input: prepared.
            predictor: answers the query.
            encoded: the input in the predictor's form.
        """
        self.query, self.contract, self.input, self.predictor, self.encoded = query, contract, input, predictor, encoded
        self.running: list[Prediction] = []
        """Predictions of the attempt under way."""
        self.first: Prediction | None = None
        self.ended = False
        self.predicted = 0
        """Predictions that were taken."""
        self._narrowed = contract.for_input(input)
        self._attempt, self._incomplete = 0, 0
        deadline = query.options.deadline
        self._due = None if deadline is None else time.monotonic() + deadline
        self._best: Judged | None = None
        self._error: MetierError | None = None
        self._draws: list[Encoded] | None = self._drawn()
        """Inputs of the next attempt; None where there is none."""

    def start(self, wait: float | None) -> None:
        """Start the next attempt. One that cannot be started ends the query: its error would come again."""
        self.started(self._predict(wait))

    def next_draws(self) -> list[Encoded]:
        """Encoded inputs of the next attempt."""
        return self._draws or []

    def started(self, predictions: Sequence[Prediction]) -> None:
        """The next attempt is under way."""
        self.running = list(predictions)
        self._incomplete = len(self.running)
        self.first = self.first or (None if isinstance(self.running[0], Failed) else self.running[0])
        self._attempt += 1

    def complete(self) -> bool:
        """Count one complete prediction; whether all of the attempt are complete."""
        self._incomplete -= 1
        return not self._incomplete

    def take(self) -> None:
        """Judge the attempt under way, whose predictions are complete."""
        broken = False
        for prediction in self.running:
            self.predicted += not isinstance(prediction, Failed)
            try:
                reply = prediction.result()
                output = validate(self._narrowed, reply)
            except MetierError as error:
                self._error = self._error or error
                continue
            try:
                findings = run_checks(self.query.checks, self.input, output)
            except MetierError as error:  # a broken check fails on every reply
                self._best, self._error, broken = None, error, True
                break
            judged = Judged(output, findings, reply)
            if self._best is None or judged.rank < self._best.rank:
                self._best = judged
        cancelled = any(prediction.cancelled for prediction in self.running)
        unstarted = any(isinstance(prediction, Failed) for prediction in self.running)
        passed = self._best is not None and not self._best.finding_count
        late = self._due is not None and time.monotonic() >= self._due
        self.ended = broken or cancelled or unstarted or passed or late or self._attempt > self.query.retries
        if not self.ended:
            self._draws = self._drawn()
            self.ended = self._draws is None

    def best(self) -> Judged:
        """The output with the fewest findings, then the likeliest candidate, the first of equals.

        Raises:
            MetierError: no reply was valid; the first one's error. A check failed.
        """
        if self._best is None:
            assert self._error is not None
            raise self._error
        return self._best

    def cancel(self) -> None:
        """Stop the attempt under way."""
        for prediction in self.running:
            prediction.cancel()

    def _predict(self, wait: float | None) -> list[Prediction]:
        try:
            return self.predictor.predict(self.next_draws(), wait=wait, after=self.first)
        except MetierError as error:
            return [Failed(error)]

    def _drawn(self) -> list[Encoded] | None:
        left = None if self._due is None or not self._attempt else max(self._due - time.monotonic(), 0.0)
        count = self.query.candidates
        draws = [self.predictor.vary(self.encoded, Draw(self._attempt, n, count, left)) for n in range(count)]
        return None if draws[0] is None else draws
