"""Runs a bundle: typed tasks in, validated outputs out, many at a time, from any thread or from asyncio."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from metier.contracts import Bridge, Sample, UsageError, Value
from metier.decoding.adapter_store import BUDGET
from metier.decoding.decoder_session import DecoderSession
from metier.decoding.generation import Generation, Request
from metier.decoding.scheduler import EngineLoad
from metier.runtime.bundle import Bundle, open_bundle
from metier.runtime.calls import TaskCalls
from metier.runtime.chat import ChatReply, chat_reply, chat_request
from metier.runtime.documents import open_documents
from metier.runtime.generation_predictor import GenerationPredictor
from metier.runtime.head_set import HeadSet
from metier.runtime.pipeline import Pipeline
from metier.runtime.predictor import PredictOptions, Predictor
from metier.runtime.recorder import Recorder
from metier.runtime.routing import Router


class Engine(TaskCalls):
    """One bundle in memory and one thread that decodes it. Use as a context manager, or call `close`.

    Args:
        bundle: a folder, which is verified first, or an opened bundle.
        device: `cpu`, `cuda`, or `auto`; an explicit `cuda` that is not active is an error.
        threads: CPU threads; None takes one per core.
        rows: requests decoded together; more wait in the queue.
        max_len: tokens of prompt and reply together that a row may hold; None takes what the base allows, at most
            4096.
        adapter_bytes: budget for LoRA adapters in memory; the least recently used are unloaded first.
        queue: requests that may wait for a row; one more is refused.
        max_tokens_total: prompt and reply tokens that all rows together may hold, a bound of KV memory; None allows
            every row its `max_len`.
        bridges: fill a task's text from its photo or voice, and render an output's speech or images, such as
            `load_plugins().bridges.values()`.
        cuda_graphs: on CUDA, replay each step as one graph, which pays where steps are short; None does so where it
            works, True raises DeviceError where it does not.
        recorder: keeps every answer before the engine returns it, such as `metier.feedback.StoreRecorder(store)`. Chat,
            submitted requests and streams that the caller left are not recorded.

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
        manifest = self.bundle.manifest
        self.documents = (
            open_documents(self.bundle.path) if any(task.takes_passages for task in manifest.every_task) else None
        )
        """The bundle's documents, for tasks that take passages."""
        self.heads = HeadSet(self.bundle, device, threads)
        """The bundle's heads, and those that were loaded."""
        self._session = DecoderSession(
            self.bundle.path, manifest, self.bundle.chat, device=device, threads=threads, rows=rows,
            max_len=max_len, adapter_bytes=adapter_bytes, queue=queue,
            max_tokens_total=max_tokens_total, cuda_graphs=cuda_graphs,
        )  # fmt: skip
        self._router = Router(self.bundle, self._session, self.heads, rows)
        self._pipeline = Pipeline(self.bundle, self._router, tuple(bridges), self.documents, recorder)
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
        """Keeps every answer before the engine returns it; may be set while the engine runs."""
        return self._pipeline.recorder

    @recorder.setter
    def recorder(self, recorder: Recorder | None) -> None:
        self._pipeline.recorder = recorder

    @property
    def bridges(self) -> tuple[Bridge, ...]:
        """The bridges that the engine was given."""
        return self._pipeline.bridges

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        adapter: str | None = None,
        deadline: float | None = None,
        **sampling: Any,
    ) -> ChatReply:
        """The reply to a conversation, through the bundle's own chat template and without a task contract.

        Args:
            messages: each with `role` (system, user or assistant) and `content`, ending with the user's. Control
                tokens that a content spells are broken up.
            adapter: LoRA adapter; None takes none.
            deadline: seconds.
            **sampling: fields of `Sampling`; max_tokens is 256 where not given.

        Raises:
            UsageError: a message, the adapter or a sampling field is not valid, or the bundle contains heads only.
            BaseError: the chat template refuses the roles. RequestError: the conversation is too long.
        """
        generation = self._chat(messages, adapter, deadline, sampling)
        return chat_reply(generation, generation.result())

    async def achat(self, messages: Sequence[Mapping[str, Any]], **options: Any) -> ChatReply:
        """`chat` for asyncio. Cancelling the awaiting task cancels the request."""
        generation = self._chat(messages, options.pop("adapter", None), options.pop("deadline", None), options)
        return chat_reply(generation, await generation.aresult())

    def stream_chat(self, messages: Sequence[Mapping[str, Any]], **options: Any) -> Generation:
        """`chat` as a generation: iterate over it, with `for` or `async for`, for pieces of the text; `cancel` stops
        it. `metier.runtime.chat.chat_reply` makes the reply of it."""
        return self._chat(messages, options.pop("adapter", None), options.pop("deadline", None), options)

    def prepare_input(self, task: str, input: Value) -> Value:
        """An input as the model gets it: with the fields that bridges fill, and the passages that the bundle's
        documents have for it. A complete input is returned unchanged.

        Raises:
            as `answer`, of an input.
        """
        return self._pipeline.prepare_input(self.bundle.task(task), input)

    def predictor(self, task: str, adapter: str | None = None) -> Predictor:
        """What answers a task; `writes` tells whether it generates text. Raises as `answer`, of an adapter."""
        return self._router.predictor(self.bundle.task(task), adapter)

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
        """The request that `run` would submit: prompt, grammar and bounds of one prepared input.

        Raises:
            UsageError: a head answers the task; and as `answer`.
        """
        contract, predictor = self.bundle.task(task), self.predictor(task, adapter)
        if not isinstance(predictor, GenerationPredictor):
            raise UsageError(
                f"{task} is answered by the head {predictor.name}, which generates no text",
                remedy="use run, answer or one of their asyncio, many and streaming forms",
            )
        options = PredictOptions(language, shots, adapter, deadline, sampling)
        return predictor.encode(contract, self._pipeline.prepare_input(contract, input), options)

    def submit(self, request: Request, *, wait: float | None = 0, after: Generation | None = None) -> Generation:
        """Queue a request; the reply grows in the returned generation. It uses the weights that its adapter's name
        has now, also where the name gets other weights while it waits.

        Args:
            request: from `request`, or made of token ids.
            wait: seconds to wait where the queue is full; None waits without limit.
            after: an earlier generation with the same adapter, whose weights it uses.

        Raises:
            RequestError: prompt and reply do not fit a row, the prompt is empty, the queue is full, or the engine is
                closed.
            UsageError: there is no adapter of that name.
        """
        return self._session.submit(request, wait, after)

    def embed(self, texts: Sequence[str], *, head: str | None = None) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Texts as vectors of length 1, [texts, width]: what a head that ranks compares, for a product's own index.

        Args:
            texts: any number.
            head: whose vectors; None takes the only head that ranks, or the only head.

        Raises:
            UsageError: no such head, or one must be named. RequestError: a text is longer than the base allows.
        """
        return self.heads.embed(texts, head)

    def load_adapter(self, name: str, tensors: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        """Make LoRA weights usable under `name` at once, such as those of a training step, without an export.

        Submitted requests keep the weights they have.

        Args:
            name: for requests; it hides an adapter of the bundle of the same name.
            tensors: PEFT's state dict, numpy or torch.
            config: PEFT's adapter_config: r, lora_alpha, use_rslora, rank_pattern, alpha_pattern.

        Raises:
            UsageError: the bundle has no slots, or the weights do not fit them.
        """
        self.adapters.set(name, tensors, config)

    def load(self) -> EngineLoad:
        """What the engine is doing now: running and waiting requests, their adapters, KV tokens in use."""
        return self._session.load()

    def close(self) -> None:
        """Stop the engine thread; requests under way end as cancelled."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        adapter: str | None,
        deadline: float | None,
        sampling: Mapping[str, Any],
    ) -> Generation:
        return self.submit(chat_request(self.bundle, self._session, messages, adapter, deadline, sampling))
