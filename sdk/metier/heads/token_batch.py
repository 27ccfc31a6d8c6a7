"""Rows of tokens as the tensors of one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metier.runtime.head_tokens import Row


@dataclass(frozen=True)
class Padded:
    """Rows as tensors, right-padded."""

    ids: Tensor
    """[rows, tokens]."""
    mask: Tensor
    """[rows, tokens], 1 where a token is."""
    pool: Tensor
    """[rows, groups, tokens]: weights that sum to 1 over a group's tokens, 0 for a group that a row has not."""


def padded(rows: Sequence[Row], device: torch.device | str = "cpu") -> Padded:
    """Rows as one batch."""
    tokens, groups = max(len(row.ids) for row in rows), max(len(row.groups) for row in rows)
    ids = torch.zeros(len(rows), tokens, dtype=torch.long)
    mask = torch.zeros(len(rows), tokens, dtype=torch.long)
    pool = torch.zeros(len(rows), groups, tokens)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = torch.tensor(row.ids)
        mask[i, : len(row.ids)] = 1
        for g, members in enumerate(row.groups):
            pool[i, g, list(members)] = 1 / len(members)
    return Padded(ids.to(device), mask.to(device), pool.to(device))
