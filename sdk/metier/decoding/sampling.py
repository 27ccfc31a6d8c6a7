"""How the next token is chosen from logits: greedy, or temperature, top-k, top-p, repetition penalty, seeded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError

from metier.contracts.errors import UsageError
from metier.contracts.schema import Data
from metier.decoding.ngram_block import Repeats, without
from metier.decoding.top_tokens import FEW, Candidates, Logits, Scores, Weights, best_of, weights_of


class Sampling(Data):
    """Sampling and stopping of one request."""

    temperature: float = Field(default=0.0, ge=0)
    """0 is greedy: the most likely token, always."""
    top_k: int = Field(default=0, ge=0)
    """Keep the k most likely tokens; 0 keeps all."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Keep the smallest set of tokens with this probability together (arXiv 1904.09751)."""
    repetition_penalty: float = Field(default=1.0, gt=0)
    """Divides positive and multiplies negative logits of tokens seen before (arXiv 1909.05858), prompt included."""
    no_repeat_ngram_size: int | None = Field(default=None, ge=0)
    """No run of this many tokens stands twice in a reply; 0 lets it, None takes the task's own."""
    seed: int | None = None
    """Same seed, same request, same answer; None draws one."""
    stop: tuple[str, ...] = ()
    """The reply ends before the first of these strings."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Bound of the reply; None takes the task's own."""

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """From a caller's words; one stop string may stand alone.

        Raises:
            UsageError: a field that is none, or a value out of its bounds.
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
    """The random state and the seen tokens of one request."""

    def __init__(self, sampling: Sampling, prompt: Iterable[int], vocab_size: int) -> None:
        self._sampling, self._vocab_size = sampling, vocab_size
        self._random = np.random.default_rng(sampling.seed) if sampling.temperature > 0 else None
        self._rolled: float | None = None
        self._repeats = Repeats(sampling.no_repeat_ngram_size) if sampling.no_repeat_ngram_size else None
        self._seen: npt.NDArray[np.bool_] | None = None
        if sampling.repetition_penalty != 1.0:
            self._seen = np.zeros(vocab_size, np.bool_)
            self._seen[np.fromiter(prompt, np.int64)] = True

    def choose(self, scores: Scores, allowed: npt.NDArray[np.bool_] | None = None) -> int:
        """The next token, from the best few where they settle it, else from all; it is the same token either way."""
        token = None if scores.few is None else self.pick_among(scores.few, allowed)
        return self.pick(scores.full(), allowed) if token is None else token

    def pick(self, logits: Logits, allowed: npt.NDArray[np.bool_] | None = None) -> int:
        """The next token.

        Args:
            logits: [vocab_size]; not changed.
            allowed: which tokens a grammar lets through, [vocab_size]; None lets all through.
        """
        if self._seen is not None:
            logits = self._penalised(logits, self._seen)
        if self._repeats is not None:
            allowed = without(self._repeats.blocked(), allowed, len(logits))
        if self._random is None:
            best = int(logits.argmax())
            # Most steps the grammar agrees with the model, and a look at one bit is all that it costs.
            token = best if allowed is None or allowed[best] else int(np.where(allowed, logits, -np.inf).argmax())
        else:
            token = self._draw(logits if allowed is None else np.where(allowed, logits, -np.inf))
        return self._taken(token)

    def pick_among(self, few: Candidates, allowed: npt.NDArray[np.bool_] | None = None) -> int | None:
        """The token that `pick` would take of the whole row; None, and nothing changed, where these cannot tell."""
        values = few.values
        if self._seen is not None:
            if self._sampling.repetition_penalty < 1:  # it raises what was seen, of the others as well
                return None
            values = self._penalised(values, self._seen[few.ids])
        if self._repeats is not None:
            allowed = without(self._repeats.blocked(), allowed, self._vocab_size)
        if allowed is not None:
            values = np.where(allowed[few.ids], values, -np.inf)
        token = self._settled(few, values)
        return None if token is None else self._taken(token)

    def _penalised(self, logits: Logits, seen: npt.NDArray[np.bool_]) -> Logits:
        penalty = self._sampling.repetition_penalty
        return np.where(seen, np.where(logits > 0, logits / penalty, logits * penalty), logits)

    def _taken(self, token: int) -> int:
        self._rolled = None
        if self._seen is not None:
            self._seen[token] = True
        if self._repeats is not None:
            self._repeats.take(token)
        return token

    def _settled(self, few: Candidates, values: Logits) -> int | None:
        """The token that all logits would give, as far as these candidates' edited `values` can tell."""
        ids, found = few.ranked(values)
        if not len(ids):
            return None
        if self._random is None:
            return int(ids[0])
        sampling, top = self._sampling, found[0]
        weights = weights_of(found, top, sampling.temperature)
        if 0 < sampling.top_k < self._vocab_size:
            if len(ids) < sampling.top_k:
                return None
            weights = self._nucleus(weights[: sampling.top_k])
        elif few.temperature != sampling.temperature:
            return None
        else:  # how much all tokens weigh is known within bounds: what both bounds say is so
            edges, bounds = np.cumsum(weights), np.array(few.bounds(values, float(top)))
            cut = sampling.top_p < 1.0
            share, side = (sampling.top_p, "left") if cut else (self._roll(), "right")
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
            few = best_of(logits, FEW, sampling.temperature)
            if (token := self._settled(few, few.values)) is not None:  # no need to look at all
                return token
            if sampling.top_p < 1.0:
                order = np.argsort(-logits, kind="stable")
            else:  # nothing is cut off, so the order is free: the best few first, the others as they stand
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
        return min(int(np.searchsorted(edges, self._roll() * edges[-1], "right")), len(edges) - 1)

    def _roll(self) -> float:
        """The draw of this step, the same until a token is taken: what the few leave open, the whole row decides."""
        assert self._random is not None
        if self._rolled is None:
            self._rolled = self._random.random()
        return self._rolled
