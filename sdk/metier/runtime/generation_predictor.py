"""Answers by generating text: an input as prompt ids and grammar, decoded by the decoder session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace

from metier.contracts import TaskContract, UsageError, Value
from metier.decoding.adapter_store import BASE
from metier.decoding.decoder_session import DecoderSession
from metier.decoding.generation import Generation, Request
from metier.decoding.sampling import Sampling
from metier.prompting.prompt import prompt_ids
from metier.prompting.reply import grammar_of
from metier.runtime.bundle import Bundle
from metier.runtime.predictor import Draw, Prediction, PredictOptions, Reply

TEMPERATURE_STEP = 0.4
"""Added to the temperature with each retry: 0.4, then 0.8 where the first attempt was greedy."""
RETRY_TOP_P = 0.95
"""Of retries and candidates, unless the caller gives another: a small base's unlikely tokens are noise."""
CANDIDATE_TEMPERATURE = 0.8
"""Of candidates, unless the caller gives another: greedy candidates would all be the same."""


class GenerationPredictor:
    """The base with one LoRA adapter, or without any."""

    writes = True
    batch = 1

    def __init__(self, bundle: Bundle, session: DecoderSession, rows: int, adapter: str | None) -> None:
        self._bundle, self._session, self._rows, self._adapter = bundle, session, rows, adapter
        self.name = None if adapter == BASE else adapter

    def window(self, retries: int) -> int:
        return (2 + retries) * self._rows

    def encode(self, task: TaskContract, input: Value, options: PredictOptions) -> Request:
        sampling = Sampling.parse(options.sampling)
        if sampling.no_repeat_ngram_size is None:
            sampling = sampling.model_copy(update={"no_repeat_ngram_size": task.no_repeat_ngram_size})
        ids = prompt_ids(self._bundle.tokenizer, task, input, language=options.language, shots=options.shots)
        grammar = grammar_of(task.for_input(input), input)
        return Request(
            ids=tuple(ids),
            sampling=sampling,
            grammar=grammar,
            max_tokens=sampling.max_tokens or self._session.reply_bound(task.max_reply_tokens, ids, grammar),
            adapter=self._adapter,
            deadline=options.deadline,
        )

    def vary(self, encoded: Request, draw: Draw) -> Request:
        """The request with the temperature and seed of one draw. The first of one candidate is as the caller gave it.

        A greedy or seeded request stays repeatable: its draws have the seeds that follow.
        """
        number = draw.attempt * draw.candidates + draw.candidate
        request = encoded if draw.deadline is None else replace(encoded, deadline=draw.deadline)
        if not number and draw.candidates == 1:
            return request
        sampling = request.sampling
        changes: dict[str, float] = {}
        temperature = sampling.temperature
        if not temperature or sampling.seed is not None:
            changes["seed"] = (sampling.seed or 0) + number
        if draw.candidates > 1 and not temperature:
            if "temperature" in sampling.model_fields_set:
                raise UsageError(
                    "candidates at temperature 0 are all the same", remedy="give a temperature above 0, or none"
                )
            temperature = CANDIDATE_TEMPERATURE
        changes["temperature"] = temperature + TEMPERATURE_STEP * draw.attempt
        if "top_p" not in sampling.model_fields_set and (draw.attempt or not sampling.temperature):
            changes["top_p"] = RETRY_TOP_P
        sampling = sampling.model_copy(update=changes)
        return replace(request, sampling=sampling, logprobs=request.logprobs or draw.candidates > 1)

    def predict(
        self, encoded: Sequence[Request], *, wait: float | None = 0, after: Prediction | None = None
    ) -> list[Prediction]:
        earlier = after.generation if isinstance(after, TextPrediction) else None
        started: list[Prediction] = []
        try:
            for request in encoded:
                started.append(TextPrediction(self._session.submit(request, wait, earlier)))
        except Exception:
            for prediction in started:
                prediction.cancel()
            raise
        return started

    def prompt(self, encoded: Request) -> str:
        return self._bundle.tokenizer.decode(encoded.ids, skip_special=False)


class TextPrediction:
    """A generation as the pipeline reads it."""

    def __init__(self, generation: Generation) -> None:
        self.generation = generation

    @property
    def cancelled(self) -> bool:
        return self.generation.cancel_requested

    def result(self) -> Reply:
        return self._reply(self.generation.result())

    async def aresult(self) -> Reply:
        return self._reply(await self.generation.aresult())

    def pieces(self) -> Iterator[str]:
        return iter(self.generation)

    def apieces(self) -> AsyncIterator[str]:
        return aiter(self.generation)

    def when_done(self, callback: Callable[[], None]) -> None:
        self.generation.add_done_callback(callback)

    def cancel(self) -> None:
        self.generation.cancel()

    def _reply(self, text: str) -> Reply:
        generation = self.generation
        likelihood = sum(generation.logprobs) if generation.request.logprobs else None
        return Reply(text=text, finish_reason=generation.finish_reason or "stop", log_likelihood=likelihood)
