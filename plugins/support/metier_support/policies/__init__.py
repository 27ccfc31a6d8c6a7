"""A case filled from the shop's policy documents; reading and searching them is the SDK's."""

from __future__ import annotations

from metier.data import PassageIndex, read_passages
from metier_support.policies.grounding import ground

__all__ = ["PassageIndex", "ground", "read_passages"]
