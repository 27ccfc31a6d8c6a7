"""Passages, and the search for them: BM25 (Robertson and Zaragoza 2009, Lucene's variant) through bm25s.

bm25s and not rank-bm25: it is maintained (rank-bm25's last release is of 2022), needs numpy only, and
scores a query sparsely instead of looping over documents. Han text has no spaces, so that it is indexed by pairs of
characters, as Lucene's CJK analyser does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from metier._install import install_command
from metier.contracts import Provenance, UsageError

_WORD = re.compile(r"[a-z0-9]+|[\u3400-\u9fff]+")
_STOP = frozenset({
    "a", "an", "and", "are", "as", "at", "be", "by", "can", "could", "do", "does", "for", "from",
    "had", "has", "have", "how", "i", "if", "in", "is", "it", "its", "me", "my", "of", "on", "or",
    "our", "please", "so", "that", "the", "their", "there", "they", "this", "to", "was", "we", "were",
    "what", "when", "where", "which", "who", "will", "with", "would", "you", "your", "hi", "hello",
    "thanks", "thank",
})  # fmt: skip


class Passage(NamedTuple):
    """One passage: `id` is unique in its document, `headings` are those above it, outermost first."""

    id: str
    headings: tuple[str, ...]
    text: str
    provenance: Provenance

    def as_input(self) -> dict[str, str]:
        """The passage as an item of an input's field `passages`."""
        heading = {"heading": " > ".join(self.headings)} if self.headings else {}
        return {"id": self.id, **heading, "text": self.text}


def terms(text: str) -> list[str]:
    """Words without their plural and verb endings, and pairs of Han characters."""
    found: list[str] = []
    for word in _WORD.findall(text.lower()):
        if word[0] >= "\u3400":
            found += [word[i : i + 2] for i in range(len(word) - 1)] or [word]
        elif word not in _STOP:
            found.append(_stem(word))
    return found


def _stem(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            break
    return word[:-1] if len(word) > 3 and word[-1] == "e" else word


class PassageIndex:
    """An index of passages, held in memory: 1,000 take less than a second. Headings count as text."""

    def __init__(self, passages: Iterable[Passage]) -> None:
        """
        Raises:
            UsageError: bm25s is not installed.
        """
        try:
            import bm25s
        except ImportError as error:
            raise UsageError("documents are searched by bm25s", remedy=install_command("search")) from error

        self.passages: Sequence[Passage] = tuple(passages)
        corpus = [terms(" ".join((*p.headings, p.text))) for p in self.passages]
        self._index = None
        if any(corpus):
            self._index = bm25s.BM25()
            self._index.index(corpus, show_progress=False)

    def search(self, query: str, k: int = 3) -> list[Passage]:
        """At most `k` passages that share a term with the query, best first; equals stay in the document's order."""
        words = terms(query)
        if self._index is None or not words:
            return []
        known = [term for term in words if term in self._index.vocab_dict]
        if not known:
            return []
        scores = self._index.get_scores(known)
        order = sorted(range(len(self.passages)), key=lambda i: -float(scores[i]))
        return [self.passages[i] for i in order[:k] if scores[i] > 0]
