"""A metric: hypotheses against references, as one figure. It knows nothing of tasks, models or reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite

from metier.contracts.errors import PluginError, UsageError


@dataclass(frozen=True)
class Metric:
    """A named score of texts against references.

    `compute(hypotheses, references)` takes one hypothesis per sample and, per sample, one or more references. It
    returns either a `float`, the corpus's score (as BLEU, whose counts are pooled), or a list with one score per
    sample, whose mean is the corpus's score. It must be pure: bootstrap intervals call it on resampled lists.
    """

    name: str
    """Short and lower case, such as `bleu`; what a contract's `metrics` name."""
    compute: Callable[[Sequence[str], Sequence[Sequence[str]]], float | Sequence[float]]
    higher_is_better: bool = True
    title: str = ""
    """What a report's column says, such as `BLEU (sacrebleu, lower-cased)`; the name where empty."""

    def score(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> float:
        """The corpus's score: what `compute` returns, or the mean of it.

        Raises:
            UsageError: no samples, not one list of references per hypothesis, or a sample without a reference.
            PluginError: `compute` returned something other than a finite number, or one per sample.
        """
        if not hypotheses or len(hypotheses) != len(references) or not all(references):
            raise UsageError(
                f"metric {self.name} needs one hypothesis and at least one reference per sample, got "
                f"{len(hypotheses)} hypotheses and {len(references)} lists of references",
                remedy="pass references as a list of lists, none of them empty",
            )
        result = self.compute(hypotheses, references)
        if isinstance(result, Sequence):
            if len(result) != len(hypotheses):
                raise self._wrong(f"{len(result)} scores for {len(hypotheses)} samples")
            result = sum(float(score) for score in result) / len(result)
        try:
            figure = float(result)
        except (TypeError, ValueError):
            raise self._wrong(repr(result)) from None
        if not isfinite(figure):
            raise self._wrong(str(figure))
        return figure

    def _wrong(self, what: str) -> PluginError:
        return PluginError(
            f"metric {self.name} returned {what}",
            remedy="let compute return one finite number for the corpus, or a list with one per sample",
        )
