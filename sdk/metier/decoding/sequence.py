"""One request while it holds a row: its prompt, its sampler, its grammar, and its text as tokens come in."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from metier.contracts import RequestError
from metier.decoding.constraint import Constraint
from metier.decoding.generation import FinishReason, Generation
from metier.decoding.lora import LoraArrays
from metier.decoding.sampling import Sampler
from metier.decoding.tokenizer import ChatTokenizer
from metier.decoding.top_tokens import Scores


class Sequence:
    """Decides, token by token, what the reply is and when it ends. Knows nothing about rows or graphs."""

    def __init__(self, generation: Generation, tokenizer: ChatTokenizer, vocab_size: int) -> None:
        request = generation.request
        self.generation = generation
        self.prompt: npt.NDArray[np.int64] = np.array(request.ids, np.int64)
        self.prefilled = 0
        """Prompt tokens that are already in the row. The last one is not read with the others: the first step does."""
        self.lora: LoraArrays | None = None
        """What the row wears; None is the base."""
        self.next_token = request.ids[-1]
        """What the next step appends to the row."""
        self.seated = 0.0
        """When it got its row, on the monotonic clock."""
        self._eos = frozenset(tokenizer.eos_ids)
        self._sampler = Sampler(request.sampling, request.ids, vocab_size)
        self._constraint: Constraint | None = None
        if request.grammar is not None:
            self._constraint = Constraint(tokenizer, request.grammar, request.max_tokens, vocab_size)
        self._tokenizer, self._stream = tokenizer, tokenizer.stream()
        self._spoken = ""

    @property
    def unread(self) -> int:
        """Prompt tokens that are yet to be read before its steps can begin."""
        return len(self.prompt) - 1 - self.prefilled

    def take(self, scores: Scores) -> bool:
        """Choose the next token from what a step says of the row; True when the reply has thereby ended."""
        constraint, generation = self._constraint, self.generation
        if constraint is None:
            token = self._sampler.choose(scores)
        else:
            token = constraint.settle(self._sampler.choose(scores, constraint.allowed()))
        if generation.request.logprobs:
            generation.logprobs.append(scores.log_probability(token))
        if token in self._eos:
            generation.end_token = token
            return self._end("stop")
        generation.ids.append(token)
        self.next_token = token
        self._spoken += self._stream(token)
        if (cut := self._stop_at()) is not None:
            generation.advance(self._spoken[:cut], "stop")
            return True
        if constraint is not None and constraint.done:
            return self._end("stop")
        if len(generation.ids) >= generation.request.max_tokens:
            return self._end("length")
        self._say()
        return False

    def _end(self, reason: FinishReason) -> bool:
        # The stream holds back bytes of an unfinished character; the whole text is decoded once at the end.
        generation, constraint = self.generation, self._constraint
        self._spoken = self._tokenizer.decode(generation.ids)
        error = None
        if reason == "length" and constraint is not None and not constraint.whole:
            error = RequestError(
                f"the reply had to be cut at {len(generation.ids)} tokens and is not whole", remedy="raise max_tokens"
            )
        generation.advance(self._spoken, reason, error)
        return True

    def _say(self) -> None:
        """Publish what can no longer be part of a stop string."""
        held = 0
        for stop in self.generation.request.sampling.stop:
            for length in range(min(len(stop) - 1, len(self._spoken)), held, -1):
                if self._spoken.endswith(stop[:length]):
                    held = length
                    break
        said = self._spoken[: len(self._spoken) - held]
        if len(said) > len(self.generation.text):
            self.generation.advance(said)

    def _stop_at(self) -> int | None:
        found = [at for stop in self.generation.request.sampling.stop if (at := self._spoken.find(stop)) >= 0]
        return min(found, default=None)
