"""The projection `x Wᵀ + s (x Aᵀ) Bᵀ` as one autograd step: no gradient for the frozen W, no casts of activations.

Knows nothing about models; `surgery` puts it in the place of PEFT's own forward while training.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class _LoraLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])  # [tokens, in]
        a_low, b_low = a.to(x.dtype), (b * scale).to(x.dtype)  # masters are fp32, the products run in x's dtype
        down = rows @ a_low.T  # [tokens, rank]
        out = (rows @ w.T if bias is None else torch.addmm(bias, rows, w.T)).addmm_(down, b_low.T)
        ctx.save_for_backward(rows, w, down, a_low, b_low)
        ctx.scale, ctx.shape = scale, x.shape
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        rows, w, down, a_low, b_low = ctx.saved_tensors
        grad = grads[0].reshape(-1, grads[0].shape[-1])  # [tokens, out]
        grad_down = grad @ b_low
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = (grad @ w).addmm_(grad_down, a_low).view(ctx.shape)
        return grad_x, None, None, (grad_down.T @ rows).float(), (grad.T @ down).float().mul_(ctx.scale), None


def lora_forward(w: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float) -> Callable[[Tensor], Tensor]:
    """A projection's forward over frozen and trained weights.

    Args:
        w: [out, in], frozen, in the dtype of the activations.
        bias: [out] or None, frozen.
        a: [rank, in] fp32 master weights of the LoRA's A.
        b: [out, rank] fp32 master weights of the LoRA's B.
        scale: alpha / rank, or alpha / sqrt(rank).

    Returns:
        A function of x [..., in] giving [..., out] in x's dtype.
    """

    def forward(x: Tensor) -> Tensor:
        return _LoraLinear.apply(x, w, bias, a, b, scale)  # type: ignore[no-any-return, no-untyped-call]

    return forward
