"""Token ids in, tokens out: a bundle's decoder, its LoRA adapters, the thread that serves them. It knows no tasks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metier.contracts import Manifest, RequestError, UsageError
from metier.decoding.adapter_store import BASE, AdapterStore
from metier.decoding.constraint import shortest_reply
from metier.decoding.decoder import Decoder
from metier.decoding.generation import Generation, Request
from metier.decoding.open_decoder import open_decoder
from metier.decoding.scheduler import Scheduler
from metier.decoding.tokenizer import ChatTokenizer

DEFAULT_ROW = 4096
"""Tokens that one row may hold unless asked otherwise: a long brief and its answer, within every base's context."""


class Serving:
    """One graph in memory and one thread that decodes it; a bundle that only reads has neither.

    Args:
        folder: of a verified bundle.
        manifest: of that bundle.
        tokenizer: of the graph that writes; None where there is none.
        device, threads, rows, max_len, adapter_bytes, queue, max_tokens_total, cuda_graphs: as `Engine` says.

    Raises:
        DeviceError: the device is not active. ResourceError: no memory.
    """

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        tokenizer: ChatTokenizer | None,
        *,
        device: str,
        threads: int | None,
        rows: int,
        max_len: int | None,
        adapter_bytes: int,
        queue: int,
        max_tokens_total: int | None,
        cuda_graphs: bool | None,
    ) -> None:
        self._name, self._tokenizer = manifest.name, tokenizer
        self.max_len = min(max_len or DEFAULT_ROW, (manifest.graph or manifest.base).context_length)
        self._tokens_total = max_tokens_total or rows * self.max_len
        self.adapters = AdapterStore(folder, manifest, adapter_bytes)
        self.decoder: Decoder | None = None
        self._scheduler: Scheduler | None = None
        self.device: str | None = None
        self.reason: str | None = None
        """Why this device; None where there is nothing to decode."""
        if manifest.graph is not None and tokenizer is not None:
            self.decoder = decoder = open_decoder(
                folder, manifest.graph, manifest.slots, rows=rows, max_len=self.max_len, device=device,
                prefer_cuda=manifest.target == "cuda", threads=threads, cuda_graphs=cuda_graphs,
            )  # fmt: skip
            self.device, self.reason = decoder.opened.device, decoder.opened.reason
            self._scheduler = Scheduler(decoder, tokenizer, queue=queue, tokens_total=self._tokens_total)

    def reply_bound(self, most: int, prompt: Sequence[int], grammar: str | None) -> int:
        """A task's own bound of reply tokens, given way to what the row has left and to what a reply of its form takes
        at least.

        Args:
            most: the task's bound.
            prompt: token ids.
            grammar: of the reply, where it has one.
        """
        least = (
            shortest_reply(self._tokenizer, grammar, self.decoder.vocab_size)
            if grammar and self.decoder and self._tokenizer
            else 1
        )
        return max(least, min(most, self.max_len - len(prompt)))

    def submit(self, request: Request, wait: float | None, after: Generation | None = None) -> Generation:
        """Queue a request, as `Engine.submit` says."""
        if not request.ids:
            raise RequestError("the prompt is empty")
        if len(request.ids) + request.max_tokens > self.max_len:
            raise RequestError(
                f"{len(request.ids)} prompt tokens and {request.max_tokens} reply tokens do not fit a row of"
                f" {self.max_len}",
                remedy="shorten the input, ask for fewer max_tokens, or open the engine with a larger max_len",
            )
        if request.tokens > self._tokens_total:
            raise RequestError(
                f"{request.tokens} tokens are more than max_tokens_total, {self._tokens_total}",
                remedy="shorten the input, or open the engine with a larger max_tokens_total",
            )
        weights = None
        if request.adapter not in (None, BASE):  # now, not when a row is free: the name may mean another by then
            weights = after.weights if after is not None else self.adapters.held(request.adapter)
        if self._scheduler is None:
            raise UsageError(f"the bundle {self._name} only reads: its heads decode nothing")
        generation = Generation(request, weights)
        self._scheduler.submit(generation, wait)
        return generation

    def close(self) -> None:
        """Stop the thread; requests under way end as cancelled."""
        if self._scheduler is not None:
            self._scheduler.close()
