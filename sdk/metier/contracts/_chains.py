"""The shortest chain of bridges from one set of modalities to another. It knows neither tasks nor bases."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence

from metier.contracts.bridge import Bridge
from metier.contracts.modality import Modality

Chain = tuple[Bridge, ...]


def shortest(bridges: Sequence[Bridge], start: Collection[Modality], goal: Collection[Modality]) -> Chain | None:
    """Bridges in order, empty where no step is needed, None where there is no chain.

    A chain whose bridges are all installed is preferred to a shorter one with bridges to install. Among equals the
    bridges' order decides.
    """
    ready = [bridge for bridge in bridges if bridge.run is not None]
    found = _search(ready, start, goal)
    return found if found is not None else _search(bridges, start, goal)


def _search(bridges: Sequence[Bridge], start: Collection[Modality], goal: Collection[Modality]) -> Chain | None:
    queue: deque[tuple[Modality, Chain]] = deque((modality, ()) for modality in sorted(start))
    seen = set(start)
    while queue:
        modality, chain = queue.popleft()
        if modality in goal:
            return chain
        for bridge in bridges:
            if bridge.source == modality and bridge.target not in seen:
                seen.add(bridge.target)
                queue.append((bridge.target, (*chain, bridge)))
    return None
