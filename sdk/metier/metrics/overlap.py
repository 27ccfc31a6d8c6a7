"""Similarity of an answer's wording to the references': BLEU, chrF and ROUGE-L, counted by sacrebleu and rouge-score.

The libraries count n-grams; this module computes the score of summed counts for arrays, and tests compare it with the
libraries' own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from metier.metrics.bootstrap import Array
from metier.metrics.cases import Case
from metier.metrics.measures import Measure, from_sums, mean_of
from metier.metrics.results import ReportedAnswer

_ORDER = 4
_TOKENIZERS = {"zh": "zh", "ja": "char", "ko": "char", "th": "char"}


def tokenizer_of(language: str) -> str:
    """sacrebleu's tokenizer for a BCP 47 language: `zh` for Chinese, `13a` where words have spaces between them."""
    return _TOKENIZERS.get(language.split("-")[0].lower(), "13a")


@lru_cache(maxsize=8)
def _bleu(tokenizer: str) -> Any:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(lowercase=True, tokenize=tokenizer, force=True)


@lru_cache(maxsize=1)
def _chrf() -> Any:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF(lowercase=True)


def bleu_statistics(cases: Sequence[Case], answers: Sequence[ReportedAnswer]) -> Array:
    """`[inputs, 10]`: lengths of answer and closest reference, matches of order 1 to 4, totals of order 1 to 4."""
    rows = [
        _bleu(tokenizer_of(case.language))._extract_corpus_statistics(
            [answer.text], [[r] for r in case.reference_texts]
        )
        for case, answer in zip(cases, answers, strict=True)
    ]
    return np.array(rows, dtype=np.float64)[:, 0]


def bleu_score(sums: Array) -> Array:
    """Corpus BLEU (Papineni et al. 2002, https://aclanthology.org/P02-1040) of summed statistics `[..., 10]`.

    Exponential smoothing as in mteval-v13a, sacrebleu's default: the k-th order without a match counts as
    1 / 2^k matches.
    """
    length, reference = sums[..., 0], sums[..., 1]
    correct, total = sums[..., 2 : 2 + _ORDER], sums[..., 2 + _ORDER :]
    smoothed = 0.5 ** np.cumsum(correct == 0, axis=-1)
    matches = np.where(correct == 0, smoothed, correct)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(matches) - np.log(total)
        penalty = np.where(length < reference, np.exp(1 - reference / length), 1.0)
        score = 100 * penalty * np.exp(logs.mean(axis=-1))
    # Without a match, or without a single 4-gram, BLEU is zero.
    return np.where((correct.sum(axis=-1) == 0) | (total == 0).any(axis=-1), 0.0, score)


def chrf_statistics(cases: Sequence[Case], answers: Sequence[ReportedAnswer]) -> Array:
    """`[inputs, 18]`: n-grams of answer, of best reference, and matches, for character orders 1 to 6."""
    rows = [
        _chrf()._extract_corpus_statistics([answer.text], [[r] for r in case.reference_texts])
        for case, answer in zip(cases, answers, strict=True)
    ]
    return np.array(rows, dtype=np.float64)[:, 0]


def chrf_score(sums: Array) -> Array:
    """chrF2 (Popović 2015, https://aclanthology.org/W15-3049) of summed statistics `[..., 18]`, as sacrebleu's."""
    answer, reference, match = sums[..., 0::3], sums[..., 1::3], sums[..., 2::3]
    counted = (answer > 0) & (reference > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        orders = counted.sum(axis=-1)
        precision = np.where(counted, match / answer, 0.0).sum(axis=-1) / orders
        recall = np.where(counted, match / reference, 0.0).sum(axis=-1) / orders
        score = 100 * 5 * precision * recall / (4 * precision + recall)
    return np.asarray(np.nan_to_num(score, nan=0.0))


class _Words:
    """rouge-score's own tokenizer drops all that is not ASCII; sacrebleu's keep Chinese."""

    def __init__(self, tokenizer: str) -> None:
        self._split = _bleu(tokenizer).tokenizer

    def tokenize(self, text: str) -> list[str]:
        return [w for w in self._split(text.lower()).split() if any(c.isalnum() for c in w)]


@lru_cache(maxsize=8)
def _rouge(tokenizer: str) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], tokenizer=_Words(tokenizer))


def rouge_l(case: Case, answer: ReportedAnswer) -> float:
    """ROUGE-L F1 (Lin 2004, https://aclanthology.org/W04-1013) against the best reference, 0 to 1."""
    best = _rouge(tokenizer_of(case.language)).score_multi(case.reference_texts, answer.text)
    return float(best["rougeL"].fmeasure)


def _bleu_signature(cases: Sequence[Case]) -> str:
    from importlib.metadata import version

    tokenizers = "+".join(sorted({tokenizer_of(c.language) for c in cases}))
    counts = {len(c.references) for c in cases}
    references = str(counts.pop()) if len(counts) == 1 else "var"
    return f"nrefs:{references}|case:lc|eff:no|tok:{tokenizers}|smooth:exp|version:{version('sacrebleu')}"


def _chrf_signature(cases: Sequence[Case]) -> str:
    from importlib.metadata import version

    return f"case:lc|eff:yes|nc:6|nw:0|space:no|version:{version('sacrebleu')}"


BLEU = Measure("bleu", "BLEU", from_sums(bleu_statistics, bleu_score), unit="points", signature=_bleu_signature)
CHRF = Measure("chrf", "chrF", from_sums(chrf_statistics, chrf_score), unit="points", signature=_chrf_signature)
ROUGE_L = Measure("rouge_l", "ROUGE-L", mean_of(rouge_l, 100), unit="points")
