"""The engine thread: continuous batching over ragged rows. Requests join and leave between steps.

Prompts are prefilled between decode steps of the others: long ones in chunks, so that they do not stall the others'
streams, short ones several in one run, and a prompt that several requests share only once. It knows rows and sequences;
it knows nothing about tasks. No request and no callback of a caller can stop the thread.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from dataclasses import dataclass

import numpy as np

from metier.contracts import BundleError, MetierError, RequestError
from metier.decoding.decoder import Decoder
from metier.decoding.generation import Generation, other_process
from metier.decoding.lora import LoraArrays
from metier.decoding.prefix_cache import MIN_PREFIX, PrefixCache, common_prefix
from metier.decoding.sequence import ActiveSequence
from metier.decoding.tokenizer import ChatTokenizer

CHUNK = 128
"""Prompt tokens per run: the longest pause in another's stream, 0.07 s of a 135M model on two cores."""

PADDING = 0.25
"""Largest share of padding in a run over several prompts: what one run instead of several saves is about as much."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineLoad:
    """What an engine is doing at one moment."""

    running: int = 0
    """Requests that hold a row."""
    waiting: int = 0
    """Requests in the queue."""
    tokens: int = 0
    """KV tokens that running requests can occupy."""
    tokens_total: int = 0
    """KV tokens that all rows together may occupy."""
    running_adapters: tuple[str, ...] = ()
    waiting_adapters: tuple[str, ...] = ()
    stalled_for: float = 0.0
    """Seconds since the thread last began an iteration, while there is work; 0 where there is none."""
    closed: bool = False


class Scheduler:
    """A queue of generations and the one thread that decodes them."""

    def __init__(self, decoder: Decoder, tokenizer: ChatTokenizer, *, queue: int, tokens_total: int) -> None:
        """`queue`: requests that can wait. `tokens_total`: prompt and reply tokens of all rows together."""
        self._decoder, self._tokenizer = decoder, tokenizer
        self._queue, self._tokens_total = queue, tokens_total
        self.prefix_cache = PrefixCache(decoder.rows)
        self.prefilled_tokens = 0
        """Prompt tokens that were read by the graph in prefill runs."""
        self._rows: list[ActiveSequence | None] = [None] * decoder.rows
        self._waiting: deque[Generation] = deque()
        self._wake = threading.Condition()
        self._closed = False
        self._failure: str | None = None
        self._process = os.getpid()
        self._iterated_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="metier-engine", daemon=True)
        self._thread.start()

    def check_process(self) -> None:
        """Raise RequestError in a process that was forked after the engine was opened: no thread decodes there."""
        if os.getpid() != self._process:
            raise other_process()

    def submit(self, generation: Generation, wait: float | None = 0) -> None:
        """Queue a request; if the queue is full, wait so many seconds for a place, None without limit.

        Raises:
            RequestError: the engine is closed, the queue stays full, or this is a forked child process.
        """
        self.check_process()
        with self._wake:
            free = self._wake.wait_for(lambda: self._closed or len(self._waiting) < self._queue, wait)
            if self._closed:
                reason = "the engine is closed" + (f": {self._failure}" if self._failure else "")
                raise RequestError(reason, remedy="open another", kind="closed")
            if not free:
                raise RequestError(
                    f"{self._queue} requests wait already", remedy="try again in a moment", kind="queue_full"
                )
            self._waiting.append(generation)
            self._wake.notify_all()

    def load(self) -> EngineLoad:
        """What the engine is doing now: a snapshot for operators, without a lock over the rows."""
        with self._wake:
            waiting = [generation.request for generation in self._waiting]
        running = [sequence.generation.request for sequence in self._rows if sequence is not None]
        busy = bool(running or waiting)
        return EngineLoad(
            running=len(running),
            waiting=len(waiting),
            tokens=sum(request.tokens for request in running),
            tokens_total=self._tokens_total,
            running_adapters=tuple(sorted({request.adapter for request in running if request.adapter})),
            waiting_adapters=tuple(sorted({request.adapter for request in waiting if request.adapter})),
            stalled_for=time.monotonic() - self._iterated_at if busy else 0.0,
            closed=self._closed,
        )

    def close(self) -> None:
        """Stop the thread; requests in progress end as cancelled."""
        if os.getpid() != self._process:
            return
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        try:
            while self._wait_for_work():
                try:
                    self._iterate()
                except Exception as error:  # of the graph or of a row: the requests in rows end, the engine continues
                    self._fail_rows(error)
        except BaseException as error:  # nothing is expected here, but no caller may wait for a dead thread
            self._failure = f"its thread ended: {error!r}"
            _log.error("the engine's thread ended: %r", error)
        finally:
            self._end_all()

    def _wait_for_work(self) -> bool:
        """Wait until there is something to decode; False when the engine is closed."""
        with self._wake:
            self._wake.wait_for(lambda: self._closed or self._waiting or self._busy())
            self._iterated_at = time.monotonic()
            return not self._closed

    def _end_all(self) -> None:
        """Close the engine and end every request: as cancelled, or with the reason for which the thread ended."""
        with self._wake:
            self._closed = True
            generations = [*(s.generation for s in self._rows if s is not None), *self._waiting]
            self._waiting.clear()
            self._wake.notify_all()
        for generation in generations:
            if generation.done:
                continue
            if self._failure is None:
                generation.update(generation.text, "cancelled")
            else:
                generation.fail(
                    RequestError(f"the engine is closed: {self._failure}", remedy="open another", kind="closed")
                )

    def _busy(self) -> bool:
        return any(sequence is not None for sequence in self._rows)

    def _iterate(self) -> None:
        """End what was cancelled or is late, admit requests, prefill in one run, decode one step."""
        now = self._iterated_at = time.monotonic()
        with self._wake:
            ended = [generation for generation in self._waiting if generation.should_end(now)]
            for generation in ended:
                self._waiting.remove(generation)
            self._wake.notify_all()
        for generation in ended:
            generation.end_early()
        for row, sequence in enumerate(self._rows):
            if sequence is not None and sequence.generation.should_end(now):
                sequence.generation.end_early()
                self._release(row)
        # Not more than one prefill run can take: loading an adapter takes time, too.
        while sum(s.unread for s in self._rows if s is not None) < CHUNK and self._admit():
            pass
        self._compact()
        self._prefill()
        self._step()

    def _admit(self) -> bool:
        """Give the next waiting request a row; False if there is no request, no row, or not enough memory yet."""
        free = [row for row, sequence in enumerate(self._rows) if sequence is None]
        while free:
            with self._wake:
                if not self._waiting or not self._fits(self._waiting[0]):
                    return False
                generation = self._waiting.popleft()
                self._wake.notify_all()
            try:
                lora = _weights(generation)
                sequence = ActiveSequence(generation, self._tokenizer, self._decoder.vocab_size)
                self._assign(sequence, lora, free)
                return True
            except Exception as error:  # an invalid adapter or grammar ends its own request only
                generation.fail(_shown(error, "the request cannot be started"))
        return False

    def _fits(self, generation: Generation) -> bool:
        taken = sum(s.generation.request.tokens for s in self._rows if s is not None)
        return taken + generation.request.tokens <= self._tokens_total

    def _assign(self, sequence: ActiveSequence, lora: LoraArrays | None, free: list[int]) -> None:
        """Give the sequence a row: one whose KV begins like its prompt, else any, with the beginning copied if another
        row has it."""
        sequence.lora, sequence.assigned_at = lora, time.monotonic()
        match = self.prefix_cache.longest_match(lora, sequence.prompt, self._sources(free))
        row = match.row if match is not None and match.row in free else free[0]
        if match is None:
            self._decoder.truncate(row, 0)
            self.prefix_cache.store(row, lora, sequence.prompt[:0])
        else:
            self._reuse(row, sequence, match.row, match.length)
        self._decoder.adapters.load(row, lora)
        self._decoder.set_temperature(row, sequence.generation.request.sampling.temperature)
        self._rows[row] = sequence

    def _sources(self, free: list[int]) -> list[int]:
        """Rows whose KV a new sequence can use: where rows cannot be copied, only the free ones."""
        return list(range(self._decoder.rows)) if self._decoder.can_move else free

    def _reuse(self, row: int, sequence: ActiveSequence, source: int, length: int) -> None:
        self._decoder.reuse(row, length, source)
        self.prefix_cache.reused_tokens += length - sequence.prefilled
        sequence.prefilled = length
        self.prefix_cache.store(row, sequence.lora, sequence.prompt[:length])

    def _prefill(self) -> None:
        """Read a chunk of the prompt that has waited longest, with new ones in the next rows where they fit."""
        unread = self._to_prefill()
        if not unread:
            return
        first = min(unread, key=lambda row: unread[row].assigned_at)
        together = [unread[first]]
        while (beside := unread.get(first + len(together))) is not None and _fit([*together, beside]):
            together.append(beside)
        chunks = [s.prompt[s.prefilled : s.prefilled + min(s.unread, CHUNK)] for s in together]
        for row, sequence in enumerate(together, first):
            # A step over this row before its prompt was complete has increased its length: undo that.
            self._decoder.truncate(row, sequence.prefilled)
        self._decoder.prefill(first, *chunks)
        for row, (sequence, chunk) in enumerate(zip(together, chunks, strict=True), first):
            sequence.prefilled += len(chunk)
            self.prefilled_tokens += len(chunk)
            self.prefix_cache.store(row, sequence.lora, sequence.prompt[: sequence.prefilled])

    def _to_prefill(self) -> dict[int, ActiveSequence]:
        """Rows whose prompts can be read now: not those for which an earlier row is reading the same tokens.

        Such a row waits for the other and then copies its KV: n candidates for one prompt cost one prefill.
        """
        rows = [row for row, sequence in enumerate(self._rows) if sequence is not None and sequence.unread]
        ready: dict[int, ActiveSequence] = {}
        for row in sorted(rows, key=lambda row: self._rows[row].assigned_at):  # type: ignore[union-attr]
            sequence = self._rows[row]
            assert sequence is not None
            if self._decoder.can_move and any(_waits(sequence, other) for other in ready.values()):
                sequence.waited = True
                continue
            if sequence.waited:
                sequence.waited = False
                match = self.prefix_cache.longest_match(sequence.lora, sequence.prompt, self._sources([row]))
                if match is not None and match.length > sequence.prefilled:
                    self._reuse(row, sequence, match.row, match.length)
            if sequence.unread:
                ready[row] = sequence
        return ready

    def _step(self) -> None:
        live = [row for row, s in enumerate(self._rows) if s is not None and not s.unread]
        if not live:
            return
        tokens = np.zeros(self._decoder.padded(live[-1] + 1), np.int64)
        for row in set(range(len(tokens))) - set(live):  # the other rows write behind what they hold
            sequence = self._rows[row]
            self._decoder.truncate(row, self.prefix_cache.length(row) if sequence is None else sequence.prefilled)
        for row in live:
            tokens[row] = self._rows[row].next_token  # type: ignore[union-attr]
        self._decoder.step(tokens)
        for row in live:
            self._accept(row)

    def _accept(self, row: int) -> None:
        sequence = self._rows[row]
        assert sequence is not None
        try:
            ended = sequence.accept(self._decoder.scores(row))
        except Exception as error:  # such as a grammar without a next token: it ends its own request only
            sequence.generation.fail(_shown(error, "the reply cannot be continued"))
            ended = True
        if ended:
            self._release(row)

    def _release(self, row: int) -> None:
        sequence = self._rows[row]
        assert sequence is not None
        if not sequence.unread:  # the next turn of a dialogue begins with these tokens
            ids = np.concatenate([sequence.prompt, np.array(sequence.generation.ids, np.int64)])
            self.prefix_cache.store(row, sequence.lora, ids[: self._decoder.lengths[row]])
        self._rows[row] = None
        self._decoder.adapters.unload(row)
        self._decoder.truncate(row, 0)

    def _compact(self) -> None:
        """Keep active rows without gaps, where moving a row costs less than decoding a gap."""
        if not self._decoder.can_move:
            return
        while True:
            used = [row for row, sequence in enumerate(self._rows) if sequence is not None]
            if not used or len(used) == used[-1] + 1:
                return
            source, target = used[-1], self._rows.index(None)
            self._decoder.move(source, target)
            self.prefix_cache.move(source, target)
            self._rows[target], self._rows[source] = self._rows[source], None

    def _fail_rows(self, error: Exception) -> None:
        """End the requests in rows with the error; what the rows hold is not known any more."""
        shown = _shown(error, "the engine failed")
        for row, sequence in enumerate(self._rows):
            self.prefix_cache.invalidate(row)
            if sequence is not None:
                self._rows[row] = None
                self._decoder.adapters.unload(row)
                self._decoder.truncate(row, 0)
                if not sequence.generation.done:
                    sequence.generation.fail(shown)


def _weights(generation: Generation) -> LoraArrays | None:
    """The LoRA weights of a request, loaded if they have to be; None is the base."""
    if generation.weights is None:
        return None
    try:
        return generation.weights()
    except MetierError:
        raise
    except Exception as error:
        raise BundleError(
            f"the adapter {generation.request.adapter} cannot be loaded: {error!r}", remedy="add it to the bundle again"
        ) from error


def _shown(error: Exception, what: str) -> MetierError:
    return error if isinstance(error, MetierError) else RequestError(f"{what}: {error!r}")


def _waits(sequence: ActiveSequence, other: ActiveSequence) -> bool:
    """Whether a sequence gains by waiting until another has read tokens that it needs, too: all that it has to read, or
    a long beginning. To read short prompts that differ together, in one run, costs less than to wait."""
    if sequence.lora is not other.lora:
        return False
    shared = common_prefix(sequence.prompt[:-1], other.prompt[:-1])
    worthwhile = shared >= CHUNK or (shared >= MIN_PREFIX and shared == len(sequence.prompt) - 1)
    return worthwhile and shared > max(sequence.prefilled, other.prefilled)


def _fit(together: list[ActiveSequence]) -> bool:
    """Whether these prompts can be read in one run: all new, not more tokens than a chunk, not too much padding."""
    lengths = [sequence.unread for sequence in together]
    tokens = max(lengths) * len(lengths)
    new = all(sequence.prefilled == 0 for sequence in together)
    return new and tokens <= CHUNK and sum(lengths) >= (1 - PADDING) * tokens
