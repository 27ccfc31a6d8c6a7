"""Token ids in, tokens out: a bundle's decoder, its LoRA adapters and the thread that decodes. It knows no tasks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from metier.contracts import Manifest, RequestError, UsageError
from metier.decoding.adapter_store import BASE, AdapterStore
from metier.decoding.constraint import shortest_reply
from metier.decoding.decoder import Decoder, open_decoder
from metier.decoding.generation import Generation, Request
from metier.decoding.scheduler import EngineLoad, Scheduler
from metier.decoding.tokenizer import ChatTokenizer

DEFAULT_ROW = 4096
"""Default of `max_len`, tokens: a long input and its answer, within every base's context."""


class DecoderSession:
    """One graph in memory and one thread that decodes it; a bundle that contains heads only has neither.

    Args:
        folder: of a verified bundle.
        manifest: of that bundle.
        tokenizer: of the decoder; None if the bundle contains heads only.
        device, threads, rows, max_len, adapter_bytes, queue, max_tokens_total, cuda_graphs: see `Engine`.

    Raises:
        DeviceError: the device is not active. ResourceError: not enough memory. BundleError: the graph is invalid.
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
        """Why this device; None if there is no decoder."""
        if manifest.graph is not None and tokenizer is not None:
            self.decoder = decoder = open_decoder(
                folder, manifest.graph, manifest.slots, rows=rows, max_len=self.max_len, device=device,
                prefer_cuda=manifest.target == "cuda", threads=threads, cuda_graphs=cuda_graphs,
            )  # fmt: skip
            self.device, self.reason = decoder.opened.device, decoder.opened.reason
            self._scheduler = Scheduler(decoder, tokenizer, queue=queue, tokens_total=self._tokens_total)

    def reply_bound(self, most: int, prompt: Sequence[int], grammar: str | None) -> int:
        """A task's own bound of reply tokens, lowered to what the row has left, but not below a shortest reply.

        Args:
            most: the task's bound.
            prompt: token ids.
            grammar: of the reply, if it has one.
        """
        least = (
            shortest_reply(self._tokenizer, grammar, self.decoder.vocab_size)
            if grammar and self.decoder and self._tokenizer
            else 1
        )
        return max(least, min(most, self.max_len - len(prompt)))

    def submit(self, request: Request, wait: float | None, after: Generation | None = None) -> Generation:
        """Queue a request; see `Engine.submit`."""
        if self._scheduler is not None:
            self._scheduler.check_process()  # first: in a forked child, a lock may be held for ever
        self._check(request)
        weights = None
        if request.adapter not in (None, BASE):  # resolved now: the name may belong to another adapter later
            weights = after.weights if after is not None else self.adapters.resolve(request.adapter)
        if self._scheduler is None:
            raise UsageError(f"the bundle {self._name} contains heads only; it cannot generate")
        generation = Generation(request, weights)
        self._scheduler.submit(generation, wait)
        return generation

    def load(self) -> EngineLoad:
        """What the thread is doing now; nothing where there is no decoder."""
        return EngineLoad() if self._scheduler is None else self._scheduler.load()

    def close(self) -> None:
        """Stop the thread; requests in progress end as cancelled."""
        if self._scheduler is not None:
            self._scheduler.close()

    def _check(self, request: Request) -> None:
        """Raise RequestError for what cannot be decoded; in a row it would fail the requests beside it, too."""
        if not request.ids:
            raise RequestError("the prompt is empty")
        ids = np.asarray(request.ids)
        size = self.decoder.vocab_size if self.decoder else None
        if ids.ndim != 1 or ids.dtype.kind not in "iu" or ids.min() < 0 or (size is not None and ids.max() >= size):
            raise RequestError(
                f"the prompt contains what is no token id{'' if size is None else f' (0 to {size - 1})'}",
                remedy="encode the prompt with the bundle's own tokenizer",
            )
        if request.max_tokens < 1:
            raise RequestError(f"max_tokens is {request.max_tokens}", remedy="allow at least one token")
        if request.tokens > self.max_len:
            raise RequestError(
                f"{len(request.ids)} prompt tokens and {request.max_tokens} reply tokens do not fit a row of"
                f" {self.max_len}",
                remedy="shorten the input, lower max_tokens, or open the engine with a larger max_len",
            )
        if request.tokens > self._tokens_total:
            raise RequestError(
                f"{request.tokens} tokens are more than max_tokens_total, {self._tokens_total}",
                remedy="shorten the input, or open the engine with a larger max_tokens_total",
            )
