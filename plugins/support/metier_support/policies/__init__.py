"""Policy documents: Markdown and HTML split into passages with their headings, and found again by BM25."""

from __future__ import annotations

from metier_support.policies.documents import read_passages
from metier_support.policies.grounding import ground
from metier_support.policies.passage import PolicyPassage
from metier_support.policies.search import PassageIndex

__all__ = ["PassageIndex", "PolicyPassage", "ground", "read_passages"]
