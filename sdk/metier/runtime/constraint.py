"""Keeps a reply within a grammar, and closes it in time: an answer under a grammar is whole even at `max_tokens`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from llguidance import LLMatcher, LLTokenizer

from metier.contracts import ContractError, RequestError
from metier.runtime.tokenizer import ChatTokenizer

Allowed = npt.NDArray[np.bool_]

CLOSING_ZONE = 128
"""So many tokens before the end, twice the shortest reply added, each choice is checked to leave room for closing.
Wide enough for any value that a schema can open at once; a plan of 16 tokens
costs 0.3 ms (vocabulary of 49,152)."""

LONGEST_PLAN = 512
"""Tokens after which the search for a closing gives up: such a grammar is followed without a promise to end in time."""

Plan = list[int]


class Constraint:
    """One reply's way through a grammar, with `budget` tokens to end it in, the end token included."""

    def __init__(self, tokenizer: ChatTokenizer, grammar: str, budget: int, vocab_size: int) -> None:
        self._words = _vocabulary(tokenizer, vocab_size)
        self._matcher = LLMatcher(self._words.tokens, grammar, log_level=0)
        if self._matcher.is_error():
            raise ContractError(f"llguidance cannot read the grammar: {self._matcher.get_error().splitlines()[0]}")
        self._vocab_size, self._left = vocab_size, budget
        self._plan = self._closing(self._matcher)
        self._zone = -1 if self._plan is None else 2 * len(self._plan) + CLOSING_ZONE
        if self._plan is not None and len(self._plan) > budget:
            raise RequestError(
                f"max_tokens is {budget}, but a short reply of this form takes {len(self._plan)} tokens",
                remedy=f"allow {len(self._plan)} tokens or more",
            )

    def allowed(self) -> Allowed:
        """Which tokens may come next, [vocab_size]."""
        mask = _mask(self._matcher, self._vocab_size)
        if self._matcher.is_error():
            raise RequestError(f"the grammar cannot go on: {self._matcher.get_error().splitlines()[0]}")
        return mask

    def settle(self, token: int) -> int:
        """Take `token`, or, where it would leave no room to end the reply, the next token of the shortest ending."""
        if self._left <= self._zone + 1:
            ahead = self._matcher.deep_copy()
            after = self._closing(ahead) if ahead.consume_token(token) else None
            if self._left <= self._zone and self._plan and (after is None or len(after) > self._left - 1):
                token, after = self._plan[0], self._plan[1:]
            self._plan = after
        self._matcher.consume_token(token)
        self._left -= 1
        return token

    @property
    def done(self) -> bool:
        """Whether nothing can follow any more."""
        return bool(self._matcher.is_stopped())

    @property
    def whole(self) -> bool:
        """Whether the reply may end here."""
        return bool(self._matcher.is_accepting()) or self.done

    def _closing(self, matcher: Any) -> Plan | None:
        """A short ending from here, found greedily; None where none is found."""
        matcher = matcher.deep_copy()
        plan: Plan = []
        while not matcher.is_stopped() and not matcher.is_accepting():
            token = self._closer(matcher)
            if len(plan) == LONGEST_PLAN or not matcher.consume_token(token):
                return None
            plan.append(token)
        return None if matcher.is_error() else plan

    def _closer(self, matcher: Any) -> int:
        """The next token of a short ending: what is forced, else what closes, else the most text at once."""
        forced = matcher.compute_ff_tokens()
        if forced:
            return int(forced[0])
        allowed = _mask(matcher, self._vocab_size)
        # Where any letter may stand, brackets are text and only a quote closes; elsewhere a quote would open.
        within_text = bool(self._words.letters) and all(allowed[token] for token in self._words.letters)
        for token in self._words.quotes if within_text else self._words.brackets:
            if allowed[token]:
                return token
        return int(np.where(allowed, self._words.lengths[: len(allowed)], -1).argmax())


def _mask(matcher: Any, vocab_size: int) -> Allowed:
    bits = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), np.uint8), bitorder="little")[:vocab_size]
    mask = np.zeros(vocab_size, np.bool_)  # logits may be padded beyond the tokenizer's ids: never allowed
    mask[: len(bits)] = bits
    return mask


@dataclass(frozen=True)
class _Words:
    """llguidance's form of a tokenizer, and the tokens that end things, best first."""

    tokens: Any
    quotes: Plan
    brackets: Plan
    letters: Plan
    lengths: npt.NDArray[np.int64]
    """Bytes of each token, [vocab_size]."""


@lru_cache(maxsize=4)
def _vocabulary(tokenizer: ChatTokenizer, vocab_size: int) -> _Words:
    tokens = LLTokenizer(tokenizer.to_json(), n_vocab=vocab_size, eos_token=list(tokenizer.eos_ids))

    def single(*texts: str) -> Plan:
        return [ids[0] for text in texts if len(ids := tokens.tokenize_str(text)) == 1]

    return _Words(
        tokens=tokens,
        quotes=single('"}', '"]', '"', '",', '":', "\n"),
        brackets=single("}", "]", "]}", "}]", ", ", ",", "0", "null", "true"),
        letters=single("a", "x", "z"),  # no "e": a number may go on with it
        lengths=np.array([len(tokens.decode_bytes([i])) for i in range(vocab_size)]),
    )
