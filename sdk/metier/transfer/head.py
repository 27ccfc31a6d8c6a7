"""The network on top: features of the layers that are read, brought to one scale, mixed, composed; one linear map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metier.runtime.asked import Shape

_PARTS = {Shape.SEQUENCE: 1, Shape.TOKEN: 1, Shape.PAIR: 3, Shape.SIDES: 4}


class HeadNetwork(nn.Module):
    """Features [items, read, groups, width] → logits [items, classes].

    Each layer's features are brought to mean 0 and deviation 1 over the training samples: layers differ in scale by
    orders, and decoders have a few dimensions that drown the others. Several layers are mixed by softmax weights
    (ELMo's scalar mix, arXiv 1802.05365, equation 1). Two sides meet as u, v, |u - v|, u · v (Sentence-BERT, arXiv
    1908.10084, and InferSent); two spans stand beside the whole text.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, shape: Shape, read: int, width: int, classes: int) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("mean", torch.zeros(read, 1, width))
        self.register_buffer("deviation", torch.ones(read, 1, width))
        self.mix = nn.Parameter(torch.zeros(read))
        inside = _PARTS[shape] * width
        self.out = nn.Linear(inside, classes)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self._scale = inside**-0.5

    def take_scale(self, mean: Tensor, deviation: Tensor) -> None:
        """Features' mean and deviation, each [read, width]."""
        self.mean.copy_(mean[:, None])
        self.deviation.copy_(deviation.clamp_min(1e-6)[:, None])

    def forward(self, features: Tensor) -> Tensor:
        even = (features - self.mean) / self.deviation
        mixed = torch.einsum("irgw,r->igw", even, self.mix.softmax(0))
        return self.out(self._composed(mixed) * self._scale)  # type: ignore[no-any-return]

    def _composed(self, mixed: Tensor) -> Tensor:
        if self.shape is Shape.SIDES:
            u, v = mixed.unbind(1)
            return torch.cat([u, v, (u - v).abs(), u * v], dim=-1)
        return mixed.flatten(1)


def gathered(states: Tensor, pool: Tensor) -> Tensor:
    """Hidden states [rows, read, tokens, width] pooled into groups: [rows, read, groups, width]."""
    return torch.einsum("rltw,rgt->rlgw", states, pool)
