"""Keeps a reply within a grammar, and closes it in time: a reply under a grammar is complete even at `max_tokens`.

A plan is kept beside the reply: tokens that would end it from here. A token that leaves no plan within the budget is
replaced by the plan's next one, so that a reply that can be completed at its first token can be at every later one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from llguidance import LLMatcher, LLTokenizer

from metier.contracts import ContractError, RequestError
from metier.decoding.tokenizer import ChatTokenizer

Allowed = npt.NDArray[np.bool_]

LONGEST_PLAN = 2048
"""Tokens after which the search for a closing gives up: such a grammar is followed without a guarantee to end in
time."""

MAX_COMPARED = 256
"""Up to so many tokens are compared one by one where a value must be chosen, such as one of an enum's."""

Plan = list[int]


class Constraint:
    """The grammar of one reply that must end within `budget` tokens.

    Raises:
        ContractError: llguidance cannot read the grammar.
        RequestError: the budget is smaller than a short reply.
    """

    def __init__(self, tokenizer: ChatTokenizer, grammar: str, budget: int, vocab_size: int) -> None:
        start = _start(tokenizer, grammar, vocab_size)
        self._vocabulary, self._matcher, self._plan = start.vocabulary, start.matcher.deep_copy(), start.plan
        self._vocab_size, self._left = vocab_size, budget
        if self._plan is not None and len(self._plan) > budget:
            raise RequestError(
                f"max_tokens is {budget}, but a short reply of this form takes {len(self._plan)} tokens",
                remedy=f"allow {len(self._plan)} tokens or more",
            )

    def allowed(self) -> Allowed:
        """Which tokens can come next, [vocab_size]."""
        mask = _mask(self._matcher, self._vocab_size)
        if self._matcher.is_error():
            raise RequestError(f"the grammar cannot continue: {self._matcher.get_error().splitlines()[0]}")
        return mask

    def accept(self, token: int) -> int:
        """Append `token`, or, if it leaves no room to end the reply, the next token of the plan; returns which."""
        if self._plan is not None:
            after = self._after(token)
            if self._plan and (after is None or len(after) >= self._left):
                token, after = self._plan[0], self._plan[1:]
            self._plan = after
        self._matcher.consume_token(token)
        self._left -= 1
        return token

    @property
    def done(self) -> bool:
        """Whether no token can follow."""
        return bool(self._matcher.is_stopped())

    @property
    def complete(self) -> bool:
        """Whether the reply can end here."""
        return bool(self._matcher.is_accepting()) or self.done

    def _after(self, token: int) -> Plan | None:
        """A plan behind `token`: the old one or its rest if that still ends the reply, else a new one."""
        ahead = self._matcher.deep_copy()
        if not ahead.consume_token(token):
            return None
        for begin in range(min(4, len(self._plan or ()))):  # one token may cover two of the plan's
            rest = (self._plan or [])[begin:]
            if len(rest) < self._left and _ends(ahead, rest):
                return rest
        return _closing(self._vocabulary, ahead, self._vocab_size)


def shortest_reply(tokenizer: ChatTokenizer, grammar: str, vocab_size: int) -> int:
    """Length of a short reply of this form, tokens; 1 if none was found.

    Raises:
        ContractError: llguidance cannot read the grammar.
    """
    return len(_start(tokenizer, grammar, vocab_size).plan or [0])


@dataclass(frozen=True)
class _Vocabulary:
    """llguidance's form of a tokenizer, and the tokens that close values, best first."""

    tokens: Any
    quotes: Plan
    brackets: Plan
    letters: Plan
    texts: Sequence[bytes]
    """Bytes of each token, [vocab_size]."""
    lengths: npt.NDArray[np.int64]
    """Number of bytes of each token, [vocab_size]."""


@dataclass(frozen=True)
class _Start:
    """A grammar compiled once for all replies under it: a matcher to copy, and the plan of an empty reply."""

    vocabulary: _Vocabulary
    matcher: Any
    plan: Plan | None


@lru_cache(maxsize=256)
def _start(tokenizer: ChatTokenizer, grammar: str, vocab_size: int) -> _Start:
    vocabulary = _vocabulary_of(tokenizer, vocab_size)
    matcher = LLMatcher(vocabulary.tokens, grammar, log_level=0)
    if matcher.is_error():
        raise ContractError(f"llguidance cannot read the grammar: {matcher.get_error().splitlines()[0]}")
    return _Start(vocabulary, matcher, _closing(vocabulary, matcher, vocab_size))


@lru_cache(maxsize=4)
def _vocabulary_of(tokenizer: ChatTokenizer, vocab_size: int) -> _Vocabulary:
    tokens = LLTokenizer(_without_control(tokenizer.to_json()), n_vocab=vocab_size, eos_token=list(tokenizer.eos_ids))

    def single(*texts: str) -> Plan:
        return [ids[0] for text in texts if len(ids := tokens.tokenize_str(text)) == 1]

    texts = [bytes(tokens.decode_bytes([i])) for i in range(vocab_size)]
    return _Vocabulary(
        tokens=tokens,
        quotes=single('"}', '"]', '"', '",', '":', "\n"),
        brackets=single("}", "]", "]}", "}]", ", ", ",", "0", "null", "true"),
        letters=single("a", "x", "z"),  # no "e": a number may continue with it
        texts=texts,
        lengths=np.array([len(text) for text in texts]),
    )


def _without_control(tokenizer: str) -> str:
    """A tokenizer.json whose control tokens have names that no text contains: where a grammar forces text such as
    `<|im_end|>`, llguidance would require the token of that name, and then reject it."""
    spec = json.loads(tokenizer)
    new = {token["content"]: f"\U0010ffff{token['content']}" for token in spec["added_tokens"] if token["special"]}
    for token in spec["added_tokens"]:
        token["content"] = new.get(token["content"], token["content"])
    model = spec["model"]
    match model.get("vocab"):
        case dict() as ids:
            model["vocab"] = {new.get(piece, piece): id for piece, id in ids.items()}
        case list() as scores:  # Unigram
            model["vocab"] = [[new.get(piece, piece), score] for piece, score in scores]
    if model.get("unk_token") in new:
        model["unk_token"] = new[model["unk_token"]]
    return json.dumps(spec)


def _mask(matcher: Any, vocab_size: int) -> Allowed:
    bits = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), np.uint8), bitorder="little")[:vocab_size]
    mask = np.zeros(vocab_size, np.bool_)  # logits may be padded beyond the tokenizer's ids: never allowed
    mask[: len(bits)] = bits
    return mask


def _ends(matcher: Any, plan: Plan) -> bool:
    """Whether these tokens, and no more, end a reply from here."""
    ahead = matcher.deep_copy()
    return ahead.try_consume_tokens(plan) == len(plan) and bool(ahead.is_accepting() or ahead.is_stopped())


def _closing(vocabulary: _Vocabulary, matcher: Any, vocab_size: int) -> Plan | None:
    """A short ending from here, found greedily; None if none is found."""
    matcher = matcher.deep_copy()
    plan: Plan = []
    while not matcher.is_stopped() and not matcher.is_accepting():
        tokens = matcher.compute_ff_tokens() or [_closer(vocabulary, matcher, vocab_size)]
        if len(plan) > LONGEST_PLAN or matcher.try_consume_tokens(tokens) < len(tokens):
            return None
        plan += map(int, tokens)
    return None if matcher.is_error() else plan


def _closer(vocabulary: _Vocabulary, matcher: Any, vocab_size: int) -> int:
    """The next token of a short ending: one that closes a value, else of few the one that forces the fewest
    tokens after it, else the longest."""
    allowed = _mask(matcher, vocab_size)
    # Where any letter is allowed, brackets are text and only a quote closes; elsewhere a quote would open.
    within_text = bool(vocabulary.letters) and all(allowed[token] for token in vocabulary.letters)
    for token in vocabulary.quotes if within_text else vocabulary.brackets:
        if allowed[token]:
            return token
    if not within_text and 1 < allowed.sum() <= MAX_COMPARED:
        return min(_longest_of(vocabulary, np.flatnonzero(allowed)), key=lambda token: _forced(matcher, token))
    return int(np.where(allowed, vocabulary.lengths[: len(allowed)], -1).argmax())


def _longest_of(vocabulary: _Vocabulary, tokens: npt.NDArray[np.int64]) -> Plan:
    """The tokens that are no beginning of another one."""
    ordered = sorted(map(int, tokens), key=lambda token: vocabulary.texts[token])
    ended = [one for one, next in pairwise(ordered) if not vocabulary.texts[next].startswith(vocabulary.texts[one])]
    return [*ended, ordered[-1]]


def _forced(matcher: Any, token: int) -> int:
    """How many tokens are forced after a token."""
    ahead = matcher.deep_copy()
    return len(ahead.compute_ff_tokens()) if ahead.consume_token(token) else LONGEST_PLAN
