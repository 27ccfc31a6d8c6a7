"""Keeps a reply within a grammar, and closes it in time: an answer under a grammar is whole even at `max_tokens`.

Beside the reply goes a plan: tokens that would end it from here. A token that leaves no plan within the budget is not
taken; the plan's next one is. So the promise made at the first token holds at every later one.
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
"""Tokens after which the search for a closing gives up: such a grammar is followed without a promise to end in time."""

FEW = 256
"""As many tokens are looked at one by one where a value must be chosen, such as one of an enum's."""

Plan = list[int]


class Constraint:
    """One reply's way through a grammar, with `budget` tokens to end it in.

    Raises:
        ContractError: llguidance cannot read the grammar.
        RequestError: the budget is less than a short reply takes.
    """

    def __init__(self, tokenizer: ChatTokenizer, grammar: str, budget: int, vocab_size: int) -> None:
        start = _start(tokenizer, grammar, vocab_size)
        self._words, self._matcher, self._plan = start.words, start.matcher.deep_copy(), start.plan
        self._vocab_size, self._left = vocab_size, budget
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
        """Take `token`, or, where it would leave no room to end the reply, the next token of the plan."""
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
        """Whether nothing can follow any more."""
        return bool(self._matcher.is_stopped())

    @property
    def whole(self) -> bool:
        """Whether the reply may end here."""
        return bool(self._matcher.is_accepting()) or self.done

    def _after(self, token: int) -> Plan | None:
        """A plan once `token` is taken: the old one or its rest where that still ends the reply, else a new one."""
        ahead = self._matcher.deep_copy()
        if not ahead.consume_token(token):
            return None
        for begin in range(min(4, len(self._plan or ()))):  # a token may say what two of the plan's would have said
            rest = (self._plan or [])[begin:]
            if len(rest) < self._left and _ends(ahead, rest):
                return rest
        return _closing(self._words, ahead, self._vocab_size)


def shortest_reply(tokenizer: ChatTokenizer, grammar: str, vocab_size: int) -> int:
    """Tokens that a short reply of this form takes; 1 where none was found.

    Raises:
        ContractError: llguidance cannot read the grammar.
    """
    return len(_start(tokenizer, grammar, vocab_size).plan or [0])


@dataclass(frozen=True)
class _Words:
    """llguidance's form of a tokenizer, and the tokens that end things, best first."""

    tokens: Any
    quotes: Plan
    brackets: Plan
    letters: Plan
    texts: Sequence[bytes]
    """What each token says, [vocab_size]."""
    lengths: npt.NDArray[np.int64]
    """Bytes of each token, [vocab_size]."""


@dataclass(frozen=True)
class _Start:
    """A grammar read once for all replies under it: a matcher to copy, and the plan of an empty reply."""

    words: _Words
    matcher: Any
    plan: Plan | None


@lru_cache(maxsize=256)
def _start(tokenizer: ChatTokenizer, grammar: str, vocab_size: int) -> _Start:
    words = _vocabulary(tokenizer, vocab_size)
    matcher = LLMatcher(words.tokens, grammar, log_level=0)
    if matcher.is_error():
        raise ContractError(f"llguidance cannot read the grammar: {matcher.get_error().splitlines()[0]}")
    return _Start(words, matcher, _closing(words, matcher, vocab_size))


@lru_cache(maxsize=4)
def _vocabulary(tokenizer: ChatTokenizer, vocab_size: int) -> _Words:
    tokens = LLTokenizer(_without_control(tokenizer.to_json()), n_vocab=vocab_size, eos_token=list(tokenizer.eos_ids))

    def single(*texts: str) -> Plan:
        return [ids[0] for text in texts if len(ids := tokens.tokenize_str(text)) == 1]

    said = [bytes(tokens.decode_bytes([i])) for i in range(vocab_size)]
    return _Words(
        tokens=tokens,
        quotes=single('"}', '"]', '"', '",', '":', "\n"),
        brackets=single("}", "]", "]}", "}]", ", ", ",", "0", "null", "true"),
        letters=single("a", "x", "z"),  # no "e": a number may go on with it
        texts=said,
        lengths=np.array([len(text) for text in said]),
    )


def _without_control(tokenizer: str) -> str:
    """A tokenizer.json whose control tokens have names that no text spells: where a grammar forces text such as
    `<|im_end|>`, llguidance would ask for the token of that name, and then refuse it."""
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


def _closing(words: _Words, matcher: Any, vocab_size: int) -> Plan | None:
    """A short ending from here, found greedily; None where none is found."""
    matcher = matcher.deep_copy()
    plan: Plan = []
    while not matcher.is_stopped() and not matcher.is_accepting():
        tokens = matcher.compute_ff_tokens() or [_closer(words, matcher, vocab_size)]
        if len(plan) > LONGEST_PLAN or matcher.try_consume_tokens(tokens) < len(tokens):
            return None
        plan += map(int, tokens)
    return None if matcher.is_error() else plan


def _closer(words: _Words, matcher: Any, vocab_size: int) -> int:
    """The next token of a short ending: what closes, else the one of few that the least must follow, else the most text
    at once."""
    allowed = _mask(matcher, vocab_size)
    # Where any letter may stand, brackets are text and only a quote closes; elsewhere a quote would open.
    within_text = bool(words.letters) and all(allowed[token] for token in words.letters)
    for token in words.quotes if within_text else words.brackets:
        if allowed[token]:
            return token
    if not within_text and 1 < allowed.sum() <= FEW:
        return min(_longest_of(words, np.flatnonzero(allowed)), key=lambda token: _forced(matcher, token))
    return int(np.where(allowed, words.lengths[: len(allowed)], -1).argmax())


def _longest_of(words: _Words, tokens: npt.NDArray[np.int64]) -> Plan:
    """The tokens that none of the others goes on from."""
    ordered = sorted(map(int, tokens), key=lambda token: words.texts[token])
    ended = [one for one, next in pairwise(ordered) if not words.texts[next].startswith(words.texts[one])]
    return [*ended, ordered[-1]]


def _forced(matcher: Any, token: int) -> int:
    """How many tokens must follow a token whatever the model wants."""
    ahead = matcher.deep_copy()
    return len(ahead.compute_ff_tokens()) if ahead.consume_token(token) else LONGEST_PLAN
