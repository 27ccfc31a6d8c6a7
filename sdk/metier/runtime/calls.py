"""The calls that answer a task: one input or many, sync, asyncio or streaming. Each is a view of one pipeline."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any, Literal, overload

from metier.contracts import ANONYMOUS, Answer, Caller, Check, MetierError, Sample, UsageError, Value
from metier.runtime.pipeline import Pipeline
from metier.runtime.queries import OnError, outcomes, queries_of, query_of


class TaskCalls:
    """`answer` and its forms, over `_pipeline`."""

    _pipeline: Pipeline

    def answer(
        self,
        task: str,
        input: Value,
        checks: Sequence[Check] = (),
        *,
        retries: int = 2,
        candidates: int = 1,
        caller: Caller = ANONYMOUS,
        language: str | None = None,
        shots: Sequence[Sample] = (),
        adapter: str | None = None,
        deadline: float | None = None,
        record: bool = True,
        **sampling: Any,
    ) -> Answer:
        """The answer of `task` to one input: its output, which satisfies the contract, and what `checks` find in it.

        The input is prepared once: bridges, documents and the prompt's tokens serve every candidate and retry.

        Args:
            task: full name, such as `adcopy.describe`.
            input: a value of the task's input type.
            checks: the trade's own, such as `load_plugins().vertical("adcopy").checks_for(task)`.
            retries: further attempts while a check finds something or the reply misses the contract, each at a higher
                temperature. The output with the fewest findings wins, the first of equals.
            candidates: replies drawn together in each attempt, over one prompt that is read once. The one with the
                fewest findings wins, then the likeliest. Above 1 the temperature is 0.8 where the caller gives none.
            caller: who the answer is for, as the recorder keeps it.
            language: of the prompt; None takes the input's own, else the contract's first.
            shots: samples that are put before the input as earlier turns.
            adapter: LoRA adapter or head; None takes the one that was trained for this task, `base` no adapter.
            deadline: seconds for all attempts together.
            record: False keeps the answer from the recorder.
            **sampling: fields of `Sampling`: temperature, top_k, top_p, repetition_penalty, seed, stop, max_tokens.

        Raises:
            ContractError: the input, or every reply, misses the contract, or it has no prompt in the language.
            RequestError: the prompt is too long, the reply is incomplete within max_tokens, or the queue is full.
            UsageError: no such task, adapter or sampling field, or no installed bridge fills a field.
            PluginError: a bridge, a check or the recorder failed. ResourceError: the answer cannot be recorded.
        """
        given = dict(
            checks=checks, retries=retries, candidates=candidates, caller=caller, language=language, shots=shots,
            adapter=adapter, deadline=deadline, record=record, **sampling,
        )  # fmt: skip
        (outcome,) = self._pipeline.answers([query_of(task, input, given)], wait=0, stop=True)
        if isinstance(outcome, MetierError):
            raise outcome
        return outcome

    async def aanswer(self, task: str, input: Value, checks: Sequence[Check] = (), **options: Any) -> Answer:
        """`answer` for asyncio. Cancelling the awaiting task cancels the request."""
        return await self._pipeline.aanswer(query_of(task, input, {"retries": 2, **options, "checks": checks}))

    @overload
    def answer_many(
        self,
        task: str,
        inputs: Iterable[Value],
        checks: Sequence[Check] = (),
        *,
        on_error: Literal["raise"] = "raise",
        **options: Any,
    ) -> Iterator[Answer]: ...

    @overload
    def answer_many(
        self,
        task: str,
        inputs: Iterable[Value],
        checks: Sequence[Check] = (),
        *,
        on_error: Literal["yield"],
        **options: Any,
    ) -> Iterator[Answer | MetierError]: ...

    def answer_many(
        self,
        task: str,
        inputs: Iterable[Value],
        checks: Sequence[Check] = (),
        *,
        on_error: OnError = "raise",
        **options: Any,
    ) -> Iterator[Any]:
        """`answer` for many inputs, in order, decoded together; retries join the running batch.

        Args:
            task: full name.
            inputs: read lazily, at most a few batches ahead of the answers.
            checks: the trade's own.
            on_error: `raise` raises the first row's error, after the answers before it. `yield` gives the
                `MetierError` itself in place of that row's answer and continues. Both name the row, from 1.
            **options: of `answer`; `adapter` and `language` may also be one value per input. A full queue is waited
                for.
        """
        if on_error not in ("raise", "yield"):
            raise UsageError(f"there is no on_error {on_error!r}", remedy="give raise or yield")
        queries = queries_of(task, inputs, {"retries": 2, **options, "checks": checks})
        return outcomes(self._pipeline.answers(queries, wait=None, stop=on_error == "raise"), on_error)

    def run(self, task: str, input: Value, **options: Any) -> Value:
        """The output of `answer`; without retries, unless the caller gives them."""
        return self.answer(task, input, **{"retries": 0, **options}).output

    async def arun(self, task: str, input: Value, **options: Any) -> Value:
        """`run` for asyncio. Cancelling the awaiting task cancels the request."""
        return (await self.aanswer(task, input, **{"retries": 0, **options})).output

    @overload
    def run_many(
        self, task: str, inputs: Iterable[Value], *, on_error: Literal["raise"] = "raise", **options: Any
    ) -> Iterator[Value]: ...

    @overload
    def run_many(
        self, task: str, inputs: Iterable[Value], *, on_error: Literal["yield"], **options: Any
    ) -> Iterator[Value | MetierError]: ...

    def run_many(
        self, task: str, inputs: Iterable[Value], *, on_error: OnError = "raise", **options: Any
    ) -> Iterator[Any]:
        """The outputs of `answer_many`; without retries, unless the caller gives them."""
        answers: Iterator[Any] = self.answer_many(
            task,
            inputs,
            **{"retries": 0, **options, "on_error": on_error},  # type: ignore[call-overload]
        )
        return (each if isinstance(each, MetierError) else each.output for each in answers)

    def stream(self, task: str, input: Value, **options: Any) -> Iterator[str]:
        """Pieces of the reply's text as they are decoded; leaving the loop cancels the rest.

        Takes the options of `answer` but checks, retries and candidates. With a recorder the last piece follows once
        the answer is recorded. The reply's text carries no fields that output bridges render.
        """
        return self._pipeline.stream(query_of(task, input, options))

    def astream(self, task: str, input: Value, **options: Any) -> AsyncIterator[str]:
        """`stream` for asyncio."""
        return self._pipeline.astream(query_of(task, input, options))
