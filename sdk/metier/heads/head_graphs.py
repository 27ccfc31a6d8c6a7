"""A trunk and a head as ONNX graphs: what `contracts.heads` says a bundle holds. It knows neither folders nor cards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from torch.nn.functional import normalize

from metier.export.tracing import trace
from metier.heads.layers import HeadNetwork
from metier.heads.token_batch import Padded
from metier.heads.trunk import Trunk
from metier.runtime.head_inputs import Shape

_GROUPS = {Shape.PAIR: 3, Shape.SIDES: 2}


def write_trunk(trunk: Trunk, layers: Sequence[int], file: Path, *, halve: bool) -> None:
    """Write what a trunk says of some layers; LoRA weights are folded in. Layers above the last of them are left out.

    Raises:
        ExportError: it cannot be traced.
    """
    for module in trunk.model.modules():
        if isinstance(module, BaseTunerLayer) and not module.merged:
            module.merge()
    trunk.model.eval()
    ids = torch.tensor([[1, 2, 3, 4, 5], [5, 4, 3, 0, 0]], device=trunk.device)
    mask = (torch.arange(5, device=trunk.device) < torch.tensor([[5], [3]], device=trunk.device)).long()
    axes = {0: "rows", 1: "tokens"}
    names = [f"layer.{layer}" for layer in layers]
    given = ["input_ids", "attention_mask"]
    free = dict.fromkeys((*given, *names), axes)
    trace(_States(trunk, layers), (ids, mask), file, given, names, free, halve=halve)


def write_head(head: HeadNetwork, file: Path) -> None:
    """Write a head, in one file: its weights are few."""
    read, _, width = head.mean.shape
    example = torch.ones(2, read, _GROUPS.get(head.shape, 1), width, device=head.mean.device)
    names = ["logits", "probabilities", "embeddings"]
    free = {name: {0: "things"} for name in ("features", *names)}
    trace(_Choice(head), (example,), file, ["features"], names, free, beside=False)


class _States(nn.Module):
    def __init__(self, trunk: Trunk, layers: Sequence[int]) -> None:
        super().__init__()
        self.model, self._trunk, self._layers = trunk.model, trunk, tuple(layers)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        return self._trunk.states(Padded(ids, mask, mask), self._layers).unbind(1)


class _Choice(nn.Module):
    def __init__(self, head: HeadNetwork) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits = self.head(features)
        # Not brought to one scale: of one layer, they are the vectors that the base was trained to give.
        mixed = torch.einsum("irgw,r->igw", features, self.head.mix.softmax(0))
        return logits, logits.softmax(-1), normalize(mixed, dim=-1)
