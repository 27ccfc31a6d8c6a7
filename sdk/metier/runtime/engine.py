"""Runs a bundle: typed tasks in, validated outputs out, many at a time, from any thread or from asyncio."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from metier.contracts import (
    Bridge,
    Check,
    MetierError,
    Sample,
    UsageError,
    Value,
    readings,
)
from metier.decoding.adapter_store import BUDGET
from metier.decoding.decoder_session import DecoderSession
from metier.decoding.generation import Generation, Request
from metier.decoding.sampling import Sampling
from metier.prompting.prompt import prompt_ids
from metier.prompting.reply import decode_reply, encode_reply, grammar_of
from metier.runtime.bundle import Bundle, open_bundle
from metier.runtime.documents import grounded, open_documents
from metier.runtime.heads import Heads
from metier.runtime.input_bridges import read_off
from metier.runtime.recorder import NOBODY, Asker, Recorder
from metier.runtime.recording import Notes
from metier.runtime.retries import Answer, Tries, tried
from metier.runtime.routing import chosen, head_for, trained_for


class Engine:
    """One bundle in memory and one thread that decodes it. Use as a context manager, or call `close`.

    Args:
        bundle: a folder, which is verified first, or a bundle already opened.
        device: `cpu`, `cuda`, or `auto`; an explicit `cuda` that is not really active is an error.
        threads: CPU threads; None takes one per core.
        rows: requests decoded together; more wait their turn.
        max_len: tokens of prompt and reply together that a row may hold; None takes what the base allows, at most
            4096.
        adapter_bytes: budget for LoRA adapters that are kept ready; the least recently used leave first.
        queue: requests that may wait for a row; one more is refused.
        max_tokens_total: prompt and reply tokens that all rows together may hold, a bound of KV memory; None allows
            every row its `max_len`.
        bridges: what may read a task's text off its photo or voice, such as `load_plugins().bridges.values()`.
        cuda_graphs: on CUDA, replay each step as one graph, which pays where steps are short; None does so where it
            works, True raises DeviceError where it does not.
        recorder: keeps every answer before it is handed out, such as `metier.iterate.StoreRecorder(store)`; what was
            only submitted, or was left while it streamed, is no answer.

    Raises:
        BundleError: the bundle is damaged. DeviceError: the device is not active. ResourceError: no memory.
    """

    def __init__(
        self,
        bundle: str | Path | Bundle,
        *,
        device: str = "auto",
        threads: int | None = None,
        rows: int = 8,
        max_len: int | None = None,
        adapter_bytes: int = BUDGET,
        queue: int = 1024,
        max_tokens_total: int | None = None,
        bridges: Iterable[Bridge] = (),
        cuda_graphs: bool | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
        self.bridges, self.notes = tuple(bridges), Notes(recorder, self.bundle)
        manifest = self.bundle.manifest
        self.documents = (
            open_documents(self.bundle.path) if any(task.takes_passages for task in manifest.every_task) else None
        )
        """The bundle's documents, for tasks that take passages: what bears on an input is put before the model."""
        self.heads = Heads(self.bundle, device, threads)
        """What answers tasks that are chosen from a list or marked in a text, where the bundle has it."""
        self._session = DecoderSession(
            self.bundle.path, manifest, self.bundle.chat, device=device, threads=threads, rows=rows,
            max_len=max_len, adapter_bytes=adapter_bytes, queue=queue,
            max_tokens_total=max_tokens_total, cuda_graphs=cuda_graphs,
        )  # fmt: skip
        self.device = self._session.device or self.heads.device
        self.device_reason = self._session.reason or self.heads.reason
        """Which device was chosen and why, in a sentence."""
        self.adapters = self._session.adapters
        """The LoRA adapters that requests may name."""
        self.max_len = self._session.max_len
        """Tokens of prompt and reply together that a row may hold."""
        self.rows = rows
        """Requests decoded together."""

    @property
    def recorder(self) -> Recorder | None:
        """Keeps every answer before it is handed out; may be set while the engine serves."""
        return self.notes.recorder

    @recorder.setter
    def recorder(self, recorder: Recorder | None) -> None:
        self.notes.recorder = recorder

    def run(
        self,
        task: str,
        input: Value,
        *,
        language: str | None = None,
        shots: Sequence[Sample] = (),
        adapter: str | None = None,
        deadline: float | None = None,
        asker: Asker = NOBODY,
        **sampling: Any,
    ) -> Value:
        """The output of `task` for one input; it satisfies the contract.

        Args:
            task: full name, such as `adcopy.describe`.
            input: a value of the task's input type.
            language: prompt language; None takes the input's own, else the contract's first.
            shots: worked samples, put before the input as earlier turns.
            adapter: LoRA adapter to wear, or head to ask; None takes the one that was trained for this task, `base`
                none at all.
            deadline: seconds after which the answer is no longer wanted.
            asker: who asks, for the recorder.
            **sampling: fields of `Sampling`: temperature, top_k, top_p, repetition_penalty, seed, stop, max_tokens.

        Raises:
            ContractError: the input, or an answer that no grammar guards, misses the contract.
            RequestError: the prompt is too long, or the answer cannot be whole within max_tokens.
            UsageError: no such task or sampling field, or a photo must be read and no bridge does it.
            PluginError: a bridge failed.
        """
        if (head := head_for(self, task, adapter)) is not None:
            options = {"language": language, "shots": shots, **sampling}
            return next(chosen(self, head, task, [input], (), asker, options)).output
        contract, input = self.bundle.task(task), self.whole(task, input)
        generation = self.submit(
            self.request(task, input, language=language, shots=shots, adapter=adapter, deadline=deadline, **sampling)
        )
        output = decode_reply(contract.for_input(input), generation.result())
        self.notes.keep(task, input, output, generation, language, asker)
        return output

    async def arun(
        self,
        task: str,
        input: Value,
        *,
        language: str | None = None,
        shots: Sequence[Sample] = (),
        adapter: str | None = None,
        deadline: float | None = None,
        asker: Asker = NOBODY,
        **sampling: Any,
    ) -> Value:
        """`run` for asyncio. Cancelling the awaiting task cancels the request."""
        if (head := head_for(self, task, adapter)) is not None:
            options = {"language": language, "shots": shots, **sampling}
            return (await asyncio.to_thread(next, chosen(self, head, task, [input], (), asker, options))).output
        contract = self.bundle.task(task)
        if readings(contract.input):  # a bridge takes its time, which the event loop must not wait
            input = await asyncio.to_thread(read_off, contract, input, self.bridges)
        input = self.whole(task, input)
        generation = self.submit(
            self.request(task, input, language=language, shots=shots, adapter=adapter, deadline=deadline, **sampling)
        )
        output = decode_reply(contract.for_input(input), await generation.aresult())
        await asyncio.to_thread(self.notes.keep, task, input, output, generation, language, asker)
        return output

    def run_many(self, task: str, inputs: Iterable[Value], *, asker: Asker = NOBODY, **options: Any) -> Iterator[Value]:
        """Outputs of many inputs, in order, decoded together. Options and errors as `run`.

        Inputs are taken lazily, at most two batches ahead of the output.
        """
        if (head := head_for(self, task, options.get("adapter"))) is not None:
            yield from (made.output for made in chosen(self, head, task, inputs, (), asker, options))
            return
        contract = self.bundle.task(task)
        ahead: deque[tuple[Value, Generation]] = deque()

        def ended() -> Value:
            input, generation = ahead.popleft()
            output = decode_reply(contract.for_input(input), generation.result())
            self.notes.keep(task, input, output, generation, options.get("language"), asker)
            return output

        try:
            for input in inputs:
                input = self.whole(task, input)
                asked = self.submit(self.request(task, input, **options), wait=None)
                ahead.append((input, asked))
                if len(ahead) >= 2 * self.rows:
                    yield ended()
            while ahead:
                yield ended()
        finally:  # the caller stopped early, or one failed: nobody waits for the rest
            for _, generation in ahead:
                generation.cancel()

    def answer(
        self,
        task: str,
        input: Value,
        checks: Sequence[Check] = (),
        *,
        retries: int = 2,
        asker: Asker = NOBODY,
        **options: Any,
    ) -> Answer:
        """The output of `task` for one input with what `checks` find in it. Options and errors as `run`.

        Args:
            task: full name.
            input: a value of the task's input type.
            checks: the trade's own, such as `load_plugins().vertical("adcopy").checks_for(task)`.
            retries: further tries, each warmer, while a check finds something or the reply misses the contract. The
                answer with the fewest findings wins, the first of equals.
            asker: who asks, for the recorder.
            **options: of `run`; a deadline holds for all tries together.

        Raises:
            PluginError: a check failed.
        """
        return next(self.answer_many(task, [input], checks, retries=retries, asker=asker, **options))

    def answer_many(
        self,
        task: str,
        inputs: Iterable[Value],
        checks: Sequence[Check] = (),
        *,
        retries: int = 2,
        asker: Asker = NOBODY,
        **options: Any,
    ) -> Iterator[Answer]:
        """`answer` for many inputs, in order, decoded together; further tries join the running batch."""
        if (head := head_for(self, task, options.get("adapter"))) is not None:
            yield from chosen(self, head, task, inputs, checks, asker, options)
            return
        for tries in tried(self, task, inputs, checks, retries, options):
            yield self.notes.kept(task, tries, asker, options)

    async def aanswer(
        self,
        task: str,
        input: Value,
        checks: Sequence[Check] = (),
        *,
        retries: int = 2,
        asker: Asker = NOBODY,
        **options: Any,
    ) -> Answer:
        """`answer` for asyncio. Cancelling the awaiting task cancels the request."""
        if (head := head_for(self, task, options.get("adapter"))) is not None:
            return await asyncio.to_thread(next, chosen(self, head, task, [input], checks, asker, options))
        contract = self.bundle.task(task)
        if readings(contract.input):
            input = await asyncio.to_thread(read_off, contract, input, self.bridges)
        input = self.whole(task, input)
        tries, generation = Tries(contract, input, checks, retries, options), None
        while not tries.ended:
            generation = self.submit(self.request(task, input, **tries.options()), after=generation)
            with suppress(MetierError):  # judged with the rest
                await generation.aresult()
            tries.take(generation)
        return await asyncio.to_thread(self.notes.kept, task, tries, asker, options)

    def stream(self, task: str, input: Value, *, asker: Asker = NOBODY, **options: Any) -> Iterator[str]:
        """Pieces of the reply's text as they are decoded; leaving the loop cancels the rest. Options as `run`."""
        if head_for(self, task, options.get("adapter")) is not None:
            yield encode_reply(self.bundle.task(task), self.run(task, input, asker=asker, **options))
            return
        input = self.whole(task, input)
        generation = self.submit(self.request(task, input, **options))
        try:
            yield from generation
            self.notes.keep_streamed(task, input, generation, asker, options)
        finally:
            generation.cancel()

    async def astream(self, task: str, input: Value, *, asker: Asker = NOBODY, **options: Any) -> AsyncIterator[str]:
        """`stream` for asyncio."""
        if head_for(self, task, options.get("adapter")) is not None:
            yield encode_reply(self.bundle.task(task), await self.arun(task, input, asker=asker, **options))
            return
        input = self.whole(task, input)
        generation = self.submit(self.request(task, input, **options))
        try:
            async for piece in generation:
                yield piece
            await asyncio.to_thread(self.notes.keep_streamed, task, input, generation, asker, options)
        finally:
            generation.cancel()

    def whole(self, task: str, input: Value) -> Value:
        """An input as the model gets it: read off by bridges, and with the passages of the bundle's documents that bear
        on it; one that is whole already stays as it is.

        Raises:
            as `run`, of an input.
        """
        contract = self.bundle.task(task)
        input = read_off(contract, input, self.bridges)
        if self.documents is None or not contract.takes_passages:
            return input
        return grounded(contract, contract.check_input(input), self.documents)

    def request(
        self,
        task: str,
        input: Value,
        *,
        language: str | None = None,
        shots: Sequence[Sample] = (),
        adapter: str | None = None,
        deadline: float | None = None,
        **sampling: Any,
    ) -> Request:
        """What `run` would submit: prompt, grammar and bounds of one input, made whole.

        Raises:
            UsageError: a head answers the task; and as `run`.
        """
        if (head := head_for(self, task, adapter)) is not None:
            raise UsageError(
                f"{task} is answered by the head {head}, which decodes nothing", remedy="use run, answer or their kin"
            )
        contract, input = self.bundle.task(task), self.whole(task, input)
        wanted = Sampling.parse(sampling)
        if wanted.no_repeat_ngram_size is None:
            wanted = wanted.model_copy(update={"no_repeat_ngram_size": contract.no_repeat_ngram_size})
        ids = prompt_ids(self.bundle.tokenizer, contract, input, language=language, shots=shots)
        grammar = grammar_of(contract.for_input(input), input)
        return Request(
            ids=tuple(ids),
            sampling=wanted,
            grammar=grammar,
            max_tokens=wanted.max_tokens or self._session.reply_bound(contract.max_reply_tokens, ids, grammar),
            adapter=adapter or trained_for(self, task),
            deadline=deadline,
        )

    def embed(self, texts: Sequence[str], *, head: str | None = None) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Texts as vectors of length 1, [texts, width]: what a head that ranks compares, for a product's own index.

        Args:
            texts: any number.
            head: whose vectors; None takes the only head that ranks, or the only one there is.

        Raises:
            UsageError: no such head, or one must be named. RequestError: a text is longer than the base allows.
        """
        return self.heads.embed(texts, head)

    def set_adapter(self, name: str, tensors: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        """Make LoRA weights usable under `name` at once, such as those of a training step; no export in between.

        Requests that were submitted keep the weights they have.

        Args:
            name: what requests will say; one of the bundle's may be covered.
            tensors: PEFT's state dict, numpy or torch.
            config: PEFT's adapter_config: r, lora_alpha, use_rslora, rank_pattern, alpha_pattern.

        Raises:
            UsageError: the bundle has no slots, or the weights do not fit them.
        """
        self.adapters.set(name, tensors, config)

    def submit(self, request: Request, *, wait: float | None = 0, after: Generation | None = None) -> Generation:
        """Queue a request; the answer grows in what is returned. Its weights are those that its adapter's name stands
        for now, whatever becomes of the name while it waits.

        Args:
            request: from `request`, or made of token ids.
            wait: seconds to wait for a place where the queue is full; None waits for ever.
            after: an earlier try with the same adapter, whose weights it takes.

        Raises:
            RequestError: prompt and reply do not fit a row, the prompt is empty, the queue is full, or the engine is
                closed.
            UsageError: there is no adapter of that name.
        """
        return self._session.submit(request, wait, after)

    def close(self) -> None:
        """Stop the engine thread; requests under way end as cancelled."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
