"""Chooses the next token from logits: greedy, or temperature, top-k, top-p, repetition penalty, seeded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError

from metier.contracts.errors import UsageError
from metier.contracts.schema import Data
from metier.decoding.ngram_block import NgramBlock, without
from metier.decoding.top_tokens import CANDIDATES, Candidates, Logits, TokenScores, Weights, best_of, weights_of


class Sampling(Data):
    """Sampling and stopping of one request."""

    temperature: float = Field(default=0.0, ge=0)
    """0 is greedy: the most likely token, always."""
    top_k: int = Field(default=0, ge=0)
    """Keep the k most likely tokens; 0 keeps all."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Keep the smallest set of tokens with this probability together (arXiv 1904.09751)."""
    repetition_penalty: float = Field(default=1.0, gt=0)
    """Divides positive and multiplies negative logits of tokens that occurred before (arXiv 1909.05858), prompt
    included."""
    no_repeat_ngram_size: int | None = Field(default=None, ge=0)
    """No n-gram of this many tokens occurs twice in a reply; 0 allows it, None takes the task's own."""
    seed: int | None = None
    """Same seed, same request, same answer; None draws one."""
    stop: tuple[str, ...] = ()
    """The reply ends before the first of these strings."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Bound of the reply; None takes the task's own."""

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """From keyword arguments; `stop` can be a single string.

        Raises:
            UsageError: an unknown field, or a value out of its bounds.
        """
        if isinstance(values.get("stop"), str):
            values = {**values, "stop": (values["stop"],)}
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            raise UsageError(
                f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
                remedy=f"sampling takes {', '.join(cls.model_fields)}",
            ) from error


class Sampler:
    """Random state and seen tokens of one request."""

    def __init__(self, sampling: Sampling, prompt: Iterable[int], vocab_size: int) -> None:
        self._sampling, self._vocab_size = sampling, vocab_size
        self._random = np.random.default_rng(sampling.seed) if sampling.temperature > 0 else None
        self._uniform: float | None = None
        self._ngrams = NgramBlock(sampling.no_repeat_ngram_size) if sampling.no_repeat_ngram_size else None
        self._seen: npt.NDArray[np.bool_] | None = None
        if sampling.repetition_penalty != 1.0:
            self._seen = np.zeros(vocab_size, np.bool_)
            self._seen[np.fromiter(prompt, np.int64)] = True

    def choose(self, scores: TokenScores, allowed: npt.NDArray[np.bool_] | None = None) -> int:
        """The next token, from the candidates if they decide it, else from all logits; the token is the same."""
        token = None if scores.candidates is None else self.pick_among(scores.candidates, allowed)
        return self.pick(scores.full(), allowed) if token is None else token

    def pick(self, logits: Logits, allowed: npt.NDArray[np.bool_] | None = None) -> int:
        """The next token.

        Args:
            logits: [vocab_size]; not changed.
            allowed: which tokens a grammar allows, [vocab_size]; None allows all.
        """
        if self._seen is not None:
            logits = self._penalised(logits, self._seen)
        if self._ngrams is not None:
            allowed = without(self._ngrams.blocked(), allowed, len(logits))
        if self._random is None:
            best = int(logits.argmax())
            # At most steps the grammar allows the best token, and one bit is enough.
            token = best if allowed is None or allowed[best] else int(np.where(allowed, logits, -np.inf).argmax())
        else:
            token = self._draw(logits if allowed is None else np.where(allowed, logits, -np.inf))
        return self._accept(token)

    def pick_among(self, few: Candidates, allowed: npt.NDArray[np.bool_] | None = None) -> int | None:
        """The token that `pick` returns for all logits; None, with nothing changed, if the candidates cannot decide
        it."""
        values = few.values
        if self._seen is not None:
            if self._sampling.repetition_penalty < 1:  # it raises tokens that were seen, outside the candidates, too
                return None
            values = self._penalised(values, self._seen[few.ids])
        if self._ngrams is not None:
            allowed = without(self._ngrams.blocked(), allowed, self._vocab_size)
        if allowed is not None:
            values = np.where(allowed[few.ids], values, -np.inf)
        token = self._decided(few, values)
        return None if token is None else self._accept(token)

    def _penalised(self, logits: Logits, seen: npt.NDArray[np.bool_]) -> Logits:
        penalty = self._sampling.repetition_penalty
        return np.where(seen, np.where(logits > 0, logits / penalty, logits * penalty), logits)

    def _accept(self, token: int) -> int:
        self._uniform = None
        if self._seen is not None:
            self._seen[token] = True
        if self._ngrams is not None:
            self._ngrams.accept(token)
        return token

    def _decided(self, few: Candidates, values: Logits) -> int | None:
        """The token that all logits would give, if these candidates' edited `values` decide it."""
        ids, ranked = few.ranked(values)
        if not len(ids):
            return None
        if self._random is None:
            return int(ids[0])
        sampling, top = self._sampling, ranked[0]
        weights = weights_of(ranked, top, sampling.temperature)
        if 0 < sampling.top_k < self._vocab_size:
            if len(ids) < sampling.top_k:
                return None
            weights = self._nucleus(weights[: sampling.top_k])
        elif few.temperature != sampling.temperature:
            return None
        else:  # the sum over all tokens is known within bounds: what both bounds give is certain
            edges, bounds = np.cumsum(weights), np.array(few.bounds(values, float(top)))
            cut = sampling.top_p < 1.0
            share, side = (sampling.top_p, "left") if cut else (self._draw_uniform(), "right")
            at, same = np.searchsorted(edges, share * bounds, side)  # type: ignore[call-overload]
            if at != same or at >= len(ids):
                return None
            if not cut:
                return int(ids[at])
            weights = weights[: at + 1]
        return int(ids[self._place(np.cumsum(weights))])

    def _draw(self, logits: Logits) -> int:
        sampling = self._sampling
        if 0 < sampling.top_k < len(logits):
            bar = np.partition(logits, -sampling.top_k)[-sampling.top_k]
            kept = np.flatnonzero((logits >= bar) & (logits > -np.inf))
            order = kept[np.argsort(-logits[kept], kind="stable")][: sampling.top_k]
        else:
            few = best_of(logits, CANDIDATES, sampling.temperature)
            if (token := self._decided(few, few.values)) is not None:  # the full sort is not needed
                return token
            if sampling.top_p < 1.0:
                order = np.argsort(-logits, kind="stable")
            else:  # nothing is cut off, so any order will do: the best first, the others unsorted
                first = few.ranked(few.values)[0]
                order = np.concatenate([first, np.delete(np.arange(len(logits)), first)])
        weights = self._nucleus(weights_of(logits[order], logits[order[0]], sampling.temperature))
        return int(order[self._place(np.cumsum(weights))])

    def _nucleus(self, weights: Weights) -> Weights:
        """The first of falling weights that make up top_p of them."""
        if self._sampling.top_p == 1.0:
            return weights
        total = np.cumsum(weights)
        return weights[: int(np.searchsorted(total, self._sampling.top_p * total[-1])) + 1]

    def _place(self, edges: Weights) -> int:
        """Where a draw falls between edges, the cumulative sum of weights."""
        return min(int(np.searchsorted(edges, self._draw_uniform() * edges[-1], "right")), len(edges) - 1)

    def _draw_uniform(self) -> float:
        """This step's uniform random number, the same until a token is accepted: if the candidates do not decide, all
        logits are drawn from with the same number."""
        assert self._random is not None
        if self._uniform is None:
            self._uniform = self._random.random()
        return self._uniform
