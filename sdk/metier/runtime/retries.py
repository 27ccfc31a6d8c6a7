"""Answers held to a trade's checks: where they find something, the task is asked again, warmer; the best answer wins.

It is handed checks and knows no trade. Further tries join the running batch like any request: nobody waits for them but
their own caller.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from metier.contracts import Check, Finding, MetierError, TaskContract, Value
from metier.contracts.answer import FinishReason
from metier.contracts.check import run_checks
from metier.contracts.schema import Data
from metier.decoding.generation import Generation
from metier.prompting.reply import decode_reply

if TYPE_CHECKING:
    from metier.runtime.engine import Engine

RISE = 0.4
"""Added to the temperature with each further try: 0.4, then 0.8 where the first was greedy."""
TOP_P = 0.95
"""Of further tries, unless asked otherwise: a small base's unlikely tail is noise."""


class Answer(Data):
    """An output and what a trade's checks make of it."""

    output: Value
    passed: bool
    """Whether no check found anything."""
    findings: dict[str, tuple[Finding, ...]]
    """Each check that was run → what it found in this output; empty where it passed."""
    attempts: int
    """How often it was asked."""
    adapter: str | None
    """The LoRA adapter or head that answered; None is the base, or what was merged into it."""
    finish_reason: FinishReason
    probabilities: dict[str, float] = {}
    """Of each label, where a head chose one."""

    id: str | None = None
    """What the engine's recorder calls it, for `store.tell(id, …)`; None without one."""

    @property
    def errors(self) -> int:
        """Findings of all checks together."""
        return sum(map(len, self.findings.values()))


class Tries:
    """One input's way to its answer: what is asked next, and which answer wins. It submits nothing itself."""

    def __init__(
        self, contract: TaskContract, input: Value, checks: Sequence[Check], retries: int, options: Mapping[str, Any]
    ) -> None:
        self.input = contract.check_input(input)
        self.generation: Generation | None = None
        self._contract, self._checks, self._options = contract.for_input(input), checks, dict(options)
        self._retries, self._tried = retries, 0
        deadline = self._options.get("deadline")
        self._due = None if deadline is None else time.monotonic() + deadline
        self._best: Answer | None = None
        self._best_of: Generation | None = None
        self._error: MetierError | None = None
        self.ended = False
        """Whether nothing more is to be asked."""

    def options(self) -> dict[str, Any]:
        """Options of the next try: at first as given, then warmer each time, with a seed of its own."""
        asked, tried = dict(self._options), self._tried
        self._tried += 1
        if not tried:
            return asked
        warmth = asked.get("temperature") or 0.0
        if not warmth or asked.get("seed") is not None:  # what was asked for repeatably stays repeatable
            asked["seed"] = (asked.get("seed") or 0) + tried
        asked["temperature"] = warmth + RISE * tried
        asked.setdefault("top_p", TOP_P)
        if self._due is not None:
            asked["deadline"] = max(self._due - time.monotonic(), 0.0)
        return asked

    def take(self, generation: Generation) -> None:
        """Judge one try that is done."""
        try:
            output = decode_reply(self._contract, generation.result())
        except MetierError as error:
            self._error = self._error or error
        else:
            self._judge(output, generation)
        late = self._due is not None and time.monotonic() >= self._due
        passed = self._best is not None and self._best.passed
        self.ended = self.ended or passed or late or self._tried > self._retries or generation.cancel_requested

    def answer(self) -> Answer:
        """The answer with the fewest findings, the first of equals.

        Raises:
            MetierError: no try gave a valid output; the first one's error. A check failed.
        """
        if self._best is None:
            assert self._error is not None
            raise self._error
        return self._best.model_copy(update={"attempts": self._tried})

    @property
    def best(self) -> Generation:
        """The try that `answer` gives."""
        assert self._best_of is not None
        return self._best_of

    def _judge(self, output: Value, generation: Generation) -> None:
        try:
            findings = run_checks(self._checks, self.input, output)
        except MetierError as error:  # a broken check finds the same in every answer
            self._best, self._error, self.ended = None, error, True
            return
        made = Answer(
            output=output,
            passed=not any(findings.values()),
            findings=findings,
            attempts=self._tried,
            adapter=generation.request.adapter,
            finish_reason=generation.finish_reason or "stop",
        )
        if self._best is None or made.errors < self._best.errors:
            self._best, self._best_of = made, generation


def tried(
    engine: Engine, task: str, inputs: Iterable[Value], checks: Sequence[Check], retries: int, options: dict[str, Any]
) -> Iterator[Tries]:
    """The ended tries of many inputs, in order. `Engine.answer_many` says what the arguments are."""
    contract, given = engine.bundle.task(task), iter(inputs)
    ended: SimpleQueue[Tries] = SimpleQueue()
    ahead: deque[Tries] = deque()
    # Room for those that are done and wait for their turn behind one that is asked again.
    most = (2 + retries) * engine.rows

    def ask(tries: Tries) -> None:
        request = engine.request(task, tries.input, **tries.options())
        tries.generation = engine.submit(request, wait=None, after=tries.generation)
        tries.generation.add_done_callback(lambda: ended.put(tries))

    try:
        while True:
            while len(ahead) < most and (input := next(given, None)) is not None:
                ahead.append(Tries(contract, engine.whole(task, input), checks, retries, options))
                ask(ahead[-1])
            if not ahead:
                return
            while not ahead[0].ended:
                tries = ended.get()
                assert tries.generation is not None
                tries.take(tries.generation)
                if not tries.ended:
                    ask(tries)
            yield ahead.popleft()
    finally:  # the caller stopped early, or one failed: nobody waits for the rest
        for tries in ahead:
            if tries.generation is not None:
                tries.generation.cancel()
