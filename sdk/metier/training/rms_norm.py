"""RMSNorm (arXiv 1910.07467) with a frozen weight as one autograd step that keeps half of what eager code keeps."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        wide = x.float()
        scale = torch.linalg.vector_norm(wide, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        unit = (wide * scale).to(x.dtype)
        ctx.save_for_backward(unit, scale, weight)
        scaled: Tensor = unit * weight
        return scaled

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        unit, scale, weight = ctx.saved_tensors
        grad = grads[0] * weight
        along = torch.linalg.vecdot(grad, unit).unsqueeze(-1).div_(-unit.shape[-1])
        return grad.addcmul_(unit, along).mul_(scale.to(grad.dtype)), None, None


def norm_forward(weight: Tensor, eps: float) -> Callable[[Tensor], Tensor]:
    """`x / rms(x) * weight` for x [..., width], its statistics in fp32, its result in x's dtype."""

    def forward(x: Tensor) -> Tensor:
        return _RmsNorm.apply(x, weight, eps)  # type: ignore[no-any-return, no-untyped-call]

    return forward
