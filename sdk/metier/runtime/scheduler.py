"""The engine thread: continuous batching over ragged rows. Requests join and leave between steps.

One prompt at a time is prefilled, in chunks, into its own row, between decode steps of the others, so that a long
prompt does not stall their streams. It knows rows and sequences; it knows nothing about tasks.
"""

from __future__ import annotations

import threading
from collections import deque

import numpy as np

from metier.contracts import MetierError, RequestError
from metier.runtime.decoder import Decoder
from metier.runtime.generation import Generation
from metier.runtime.sequence import Sequence
from metier.runtime.tokenizer import ChatTokenizer

CHUNK = 256
"""Prompt tokens per prefill run: some 0.2 s of a 135M model on two cores, the longest pause in another's stream."""


class Scheduler:
    """A queue of generations and the one thread that serves them."""

    def __init__(self, decoder: Decoder, tokenizer: ChatTokenizer) -> None:
        self._decoder, self._tokenizer = decoder, tokenizer
        self._rows: list[Sequence | None] = [None] * decoder.rows
        self._waiting: deque[Generation] = deque()
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="metier-engine", daemon=True)
        self._thread.start()

    def submit(self, generation: Generation) -> None:
        """Queue a request.

        Raises:
            RequestError: the engine is closed.
        """
        with self._wake:
            if self._closed:
                raise RequestError("the engine is closed", remedy="open another")
            self._waiting.append(generation)
            self._wake.notify()

    def close(self) -> None:
        """Stop the thread; what is under way ends as cancelled."""
        with self._wake:
            self._closed = True
            self._wake.notify()
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
        """Free what was cancelled, admit one, prefill one chunk, decode one step."""
        with self._wake:
            dropped = [generation for generation in self._waiting if generation.cancel_requested]
            for generation in dropped:
                self._waiting.remove(generation)
        for generation in dropped:
            generation.advance("", "cancelled")
        for row, sequence in enumerate(self._rows):
            if sequence is not None and sequence.generation.cancel_requested:
                sequence.generation.advance(sequence.generation.text, "cancelled")
                self._release(row)
        filling = next((row for row, s in enumerate(self._rows) if s and s.prefilled < len(s.prompt)), None)
        if filling is None:
            filling = self._admit()
        if filling is not None:
            self._prefill(filling)
        self._compact()
        self._step()

    def _admit(self) -> int | None:
        """Give the next waiting request a row; None where there is no request or no row."""
        if None not in self._rows:
            return None
        row = self._rows.index(None)
        while self._waiting:
            generation = self._waiting.popleft()
            try:
                self._rows[row] = Sequence(generation, self._tokenizer, self._decoder.vocab_size)
            except MetierError as error:  # a grammar that does not compile, a bound that cannot be kept
                generation.advance("", error=error)
                continue
            self._decoder.truncate(row, 0)
            return row
        return None

    def _prefill(self, row: int) -> None:
        sequence = self._rows[row]
        assert sequence is not None
        chunk = sequence.prompt[sequence.prefilled : sequence.prefilled + CHUNK]
        # A step over this row while its prompt was half read has moved its length on: cut that back.
        self._decoder.truncate(row, sequence.prefilled)
        self._decoder.prefill(row, chunk)
        sequence.prefilled += len(chunk)
        if sequence.prefilled == len(sequence.prompt):
            self._take(row)

    def _step(self) -> None:
        live = [row for row, s in enumerate(self._rows) if s is not None and s.prefilled == len(s.prompt)]
        if not live:
            return
        tokens = np.zeros(live[-1] + 1, np.int64)
        for row in set(range(len(tokens))) - set(live):  # rows without a reader: keep their length in bounds
            held = self._rows[row]
            self._decoder.truncate(row, held.prefilled if held is not None else 0)
        for row in live:
            tokens[row] = self._rows[row].next_token  # type: ignore[union-attr]
        self._decoder.step(tokens)
        for row in live:
            self._take(row)

    def _take(self, row: int) -> None:
        sequence = self._rows[row]
        assert sequence is not None
        try:
            ended = sequence.take(self._decoder.logits(row))
        except MetierError as error:
            sequence.generation.advance(sequence.generation.text, error=error)
            ended = True
        if ended:
            self._release(row)

    def _release(self, row: int) -> None:
        self._rows[row] = None
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
            self._rows[target], self._rows[source] = self._rows[source], None

    def _fail(self, error: Exception) -> None:
        shown = error if isinstance(error, MetierError) else RequestError(f"the engine failed: {error!r}")
        for row, sequence in enumerate(self._rows):
            if sequence is not None:
                sequence.generation.advance(sequence.generation.text, error=shown)
                self._release(row)
