"""The engine thread: continuous batching over ragged rows. Requests join and leave between steps.

Prompts are read between decode steps of the others: long ones in chunks, so that they do not stall the others'
streams, short ones several in one run. It knows rows and sequences; it knows nothing about tasks.
"""

from __future__ import annotations

import threading
import time
from collections import deque

import numpy as np

from metier.contracts import MetierError, RequestError
from metier.decoding.adapter_rows import FREE
from metier.decoding.decoder import Decoder
from metier.decoding.generation import Generation
from metier.decoding.lora import LoraArrays
from metier.decoding.prefix_cache import Prefixes
from metier.decoding.sequence import Sequence
from metier.decoding.tokenizer import ChatTokenizer

CHUNK = 128
"""Prompt tokens per run: the longest pause in another's stream, 0.07 s of a 135M model on two cores."""

PADDING = 0.25
"""Share of a run's tokens that may be padding where prompts are read together: what that saves is about as much."""


class Scheduler:
    """A queue of generations and the one thread that serves them."""

    def __init__(self, decoder: Decoder, tokenizer: ChatTokenizer, *, queue: int, tokens_total: int) -> None:
        """`queue`: requests that may wait. `tokens_total`: prompt and reply tokens of all rows together."""
        self._decoder, self._tokenizer = decoder, tokenizer
        self._queue, self._tokens_total = queue, tokens_total
        self.prefixes = Prefixes(decoder.rows)
        self._rows: list[Sequence | None] = [None] * decoder.rows
        self._waiting: deque[Generation] = deque()
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="metier-engine", daemon=True)
        self._thread.start()

    def submit(self, generation: Generation, wait: float | None = 0) -> None:
        """Queue a request; where the queue is full, wait so many seconds for a place, None for ever.

        Raises:
            RequestError: the engine is closed, or the queue stays full.
        """
        with self._wake:
            free = self._wake.wait_for(lambda: self._closed or len(self._waiting) < self._queue, wait)
            if self._closed:
                raise RequestError("the engine is closed", remedy="open another")
            if not free:
                raise RequestError(f"{self._queue} requests wait already", remedy="try again in a moment")
            self._waiting.append(generation)
            self._wake.notify_all()

    def close(self) -> None:
        """Stop the thread; what is under way ends as cancelled."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _serve(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._closed or self._waiting or self._busy())
                if self._closed:
                    break
            try:
                self._round()
            except Exception as error:  # whatever went wrong, nobody may wait for ever
                self._fail(error)
        for sequence in self._rows:
            if sequence is not None:
                sequence.generation.advance(sequence.generation.text, "cancelled")
        for generation in self._waiting:
            generation.advance("", "cancelled")

    def _busy(self) -> bool:
        return any(sequence is not None for sequence in self._rows)

    def _round(self) -> None:
        """Free what was cancelled or is late, admit, read prompts for one run, decode one step."""
        now = time.monotonic()
        with self._wake:
            dropped = [generation for generation in self._waiting if generation.unwanted(now)]
            for generation in dropped:
                self._waiting.remove(generation)
            self._wake.notify_all()
        for generation in dropped:
            generation.drop()
        for row, sequence in enumerate(self._rows):
            if sequence is not None and sequence.generation.unwanted(now):
                sequence.generation.drop()
                self._release(row)
        # No more than one run reads: to load an adapter takes its time, too.
        while sum(s.unread for s in self._rows if s is not None) < CHUNK and self._admit():
            pass
        self._compact()
        self._read()
        self._step()

    def _admit(self) -> bool:
        """Give the next waiting request a row; False where there is no request, no row, or no memory yet."""
        free = [row for row, sequence in enumerate(self._rows) if sequence is None]
        while free:
            with self._wake:
                if not self._waiting or not self._fits(self._waiting[0]) or self._is_being_read(self._waiting[0]):
                    return False
                generation = self._waiting.popleft()
                self._wake.notify_all()
            try:
                lora = None if generation.weights is None else generation.weights()
                sequence = Sequence(generation, self._tokenizer, self._decoder.vocab_size)
            except MetierError as error:  # an adapter or a grammar that is none, a bound that cannot be kept
                generation.advance("", error=error)
                continue
            self._seat(sequence, lora, free)
            return True
        return False

    def _is_being_read(self, generation: Generation) -> bool:
        """Whether another row is reading the same prompt object: candidates of one input wait until their prompt's KV
        can be copied, so that it is read once."""
        ids = generation.request.ids
        return self._decoder.can_move and any(
            s is not None and s.unread and s.generation.request.ids is ids for s in self._rows
        )

    def _fits(self, generation: Generation) -> bool:
        taken = sum(s.generation.request.tokens for s in self._rows if s is not None)
        return taken + generation.request.tokens <= self._tokens_total

    def _seat(self, sequence: Sequence, lora: LoraArrays | None, free: list[int]) -> None:
        """A row for the sequence: one whose KV begins like its prompt, else any, with the beginning copied if another
        row has it."""
        prompt, row = sequence.prompt, free[0]
        rows = list(range(self._decoder.rows)) if self._decoder.can_move else free
        found = self.prefixes.best(lora, prompt, rows)
        if found is None:
            self._decoder.truncate(row, 0)
        else:
            row = found.row if found.row in free else row
            self._decoder.resume(row, found.length, found.row)
            sequence.prefilled = found.length
            self.prefixes.reused += found.length
        sequence.lora, sequence.seated = lora, time.monotonic()
        self._rows[row] = sequence
        self._decoder.adapters.wear(row, lora)
        self._decoder.temper(row, sequence.generation.request.sampling.temperature)
        self.prefixes.hold(row, lora, prompt[: sequence.prefilled])

    def _read(self) -> None:
        """Read a chunk of the prompt that has waited longest, with new ones in the next rows where they fit."""
        unread = {row: s for row, s in enumerate(self._rows) if s is not None and s.unread}
        if not unread:
            return
        first = min(unread, key=lambda row: unread[row].seated)
        together = [unread[first]]
        while (beside := unread.get(first + len(together))) is not None and _fit([*together, beside]):
            together.append(beside)
        chunks = [s.prompt[s.prefilled : s.prefilled + min(s.unread, CHUNK)] for s in together]
        for row, sequence in enumerate(together, first):
            # A step over this row while its prompt was not read yet has moved its length on: cut that back.
            self._decoder.truncate(row, sequence.prefilled)
        self._decoder.prefill(first, *chunks)
        for row, (sequence, chunk) in enumerate(zip(together, chunks, strict=True), first):
            sequence.prefilled += len(chunk)
            self.prefixes.hold(row, sequence.lora, sequence.prompt[: sequence.prefilled])

    def _step(self) -> None:
        live = [row for row, s in enumerate(self._rows) if s is not None and not s.unread]
        if not live:
            return
        tokens = np.zeros(self._decoder.span(live[-1] + 1), np.int64)
        for row in set(range(len(tokens))) - set(live):  # rows without a reader write behind what they hold
            held = self._rows[row]
            self._decoder.truncate(row, self.prefixes.length(row) if held is None else held.prefilled)
        for row in live:
            tokens[row] = self._rows[row].next_token  # type: ignore[union-attr]
        self._decoder.step(tokens)
        for row in live:
            self._take(row)

    def _take(self, row: int) -> None:
        sequence = self._rows[row]
        assert sequence is not None
        try:
            ended = sequence.take(self._decoder.scores(row))
        except MetierError as error:
            sequence.generation.advance(sequence.generation.text, error=error)
            ended = True
        if ended:
            self._release(row)

    def _release(self, row: int) -> None:
        sequence = self._rows[row]
        assert sequence is not None
        if not sequence.unread:  # what the next turn of a dialogue will begin with
            whole = np.concatenate([sequence.prompt, np.array(sequence.generation.ids, np.int64)])
            self.prefixes.hold(row, sequence.lora, whole[: self._decoder.lengths[row]])
        self._rows[row] = None
        self._decoder.adapters.wear(row, FREE)
        self._decoder.truncate(row, 0)

    def _compact(self) -> None:
        """Keep the rows that are decoded together without holes, where moving one is cheaper than decoding a hole."""
        if not self._decoder.can_move:
            return
        while True:
            used = [row for row, sequence in enumerate(self._rows) if sequence is not None]
            if not used or len(used) == used[-1] + 1:
                return
            source, target = used[-1], self._rows.index(None)
            self._decoder.move(source, target)
            self.prefixes.move(source, target)
            self._rows[target], self._rows[source] = self._rows[source], None

    def _fail(self, error: Exception) -> None:
        shown = error if isinstance(error, MetierError) else RequestError(f"the engine failed: {error!r}")
        for row, sequence in enumerate(self._rows):
            if sequence is not None:
                sequence.generation.advance(sequence.generation.text, error=shown)
                self._release(row)
            self.prefixes.spoil(row)


def _fit(together: list[Sequence]) -> bool:
    """Whether these prompts can be read in one run: all new, no more tokens than a chunk, not too much padding."""
    lengths = [sequence.unread for sequence in together]
    tokens = max(lengths) * len(lengths)
    new = all(sequence.prefilled == 0 for sequence in together)
    return new and tokens <= CHUNK and sum(lengths) >= (1 - PADDING) * tokens
