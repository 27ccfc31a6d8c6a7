"""One request while it holds a row: its prompt, its sampler, its grammar, and its text as tokens come in."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from metier.contracts import RequestError
from metier.contracts.answer import FinishReason
from metier.decoding.constraint import Constraint
from metier.decoding.generation import Generation
from metier.decoding.lora import LoraArrays
from metier.decoding.sampling import Sampler
from metier.decoding.tokenizer import ChatTokenizer
from metier.decoding.top_tokens import TokenScores


class ActiveSequence:
    """Decides, token by token, what the reply is and when it ends. Knows nothing about rows or graphs."""

    def __init__(self, generation: Generation, tokenizer: ChatTokenizer, vocab_size: int) -> None:
        request = generation.request
        self.generation = generation
        self.prompt: npt.NDArray[np.int64] = np.array(request.ids, np.int64)
        self.prefilled = 0
        """Prompt tokens whose KV is in the row. The last one is never prefilled: the first step reads it."""
        self.lora: LoraArrays | None = None
        """Active in the row; None is the base."""
        self.next_token = request.ids[-1]
        """What the next step appends to the row."""
        self.assigned_at = 0.0
        """When it was given its row, on the monotonic clock."""
        self.waited = False
        """Whether its prefill was held back for another row that reads the same prompt."""
        self._eos = frozenset(tokenizer.eos_ids)
        self._sampler = Sampler(request.sampling, request.ids, vocab_size)
        self._constraint: Constraint | None = None
        if request.grammar is not None:
            self._constraint = Constraint(tokenizer, request.grammar, request.max_tokens, vocab_size)
        self._tokenizer, self._stream = tokenizer, tokenizer.stream()
        self._text = ""

    @property
    def unread(self) -> int:
        """Prompt tokens that must be prefilled before its steps can begin."""
        return len(self.prompt) - 1 - self.prefilled

    def accept(self, scores: TokenScores) -> bool:
        """Choose the next token from the scores of the row's last step; True if the reply has ended."""
        constraint, generation = self._constraint, self.generation
        if constraint is None:
            token = self._sampler.choose(scores)
        else:
            token = constraint.accept(self._sampler.choose(scores, constraint.allowed()))
        if generation.request.logprobs:
            generation.logprobs.append(scores.log_probability(token))
            if count := generation.request.top_logprobs:
                generation.top_logprobs.append(scores.likeliest(count))
        if token in self._eos:
            generation.end_token = token
            return self._end("stop")
        generation.ids.append(token)
        self.next_token = token
        self._text += self._stream(token)
        if (cut := self._stop_at()) is not None:
            generation.update(self._text[:cut], "stop")
            return True
        if constraint is not None and constraint.done:
            return self._end("stop")
        if len(generation.ids) >= generation.request.max_tokens:
            return self._end("length")
        self._publish()
        return False

    def _end(self, reason: FinishReason) -> bool:
        # The stream holds back bytes of an unfinished character; all tokens are decoded together at the end.
        generation, constraint = self.generation, self._constraint
        self._text = self._tokenizer.decode(generation.ids)
        error = None
        if reason == "length" and constraint is not None and not constraint.complete:
            error = RequestError(
                f"the reply was cut at {len(generation.ids)} tokens and is incomplete",
                remedy="raise max_tokens",
                kind="incomplete",
            )
        generation.update(self._text, reason, error)
        return True

    def _publish(self) -> None:
        """Publish the text, except an end that may be the beginning of a stop string."""
        held_back = 0
        for stop in self.generation.request.sampling.stop:
            for length in range(min(len(stop) - 1, len(self._text)), held_back, -1):
                if self._text.endswith(stop[:length]):
                    held_back = length
                    break
        visible = self._text[: len(self._text) - held_back]
        if len(visible) > len(self.generation.text):
            self.generation.update(visible)

    def _stop_at(self) -> int | None:
        found = [at for stop in self.generation.request.sampling.stop if (at := self._text.find(stop)) >= 0]
        return min(found, default=None)
