"""Cross-entropy over reply tokens only: logits are computed for those positions alone, in slices that stay in cache."""

from typing import Any

import torch
from torch import Tensor

_SLICE_BYTES = 16 << 20
"""fp32 logits held at once; 16 MiB is 85 rows of a 49,152-token vocabulary, and fits a CPU's last-level cache."""


class _ReplyLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
        keep = ctx.needs_input_grad[0]
        grad = torch.empty_like(hidden) if keep else None
        grad_head = torch.zeros_like(head, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        total = torch.zeros((), device=hidden.device)
        rows = max(1, _SLICE_BYTES // (4 * head.shape[0]))
        for start in range(0, len(hidden), rows):
            part, wanted = hidden[start : start + rows], targets[start : start + rows, None]
            scores = part @ head.T if bias is None else torch.addmm(bias, part, head.T)  # [rows, vocabulary]
            log_probs = torch.log_softmax(scores, -1, dtype=torch.float32)
            total -= log_probs.gather(1, wanted).sum()
            if grad is not None:
                probs = log_probs.exp_()
                probs.scatter_add_(1, wanted, torch.full_like(wanted, -1, dtype=torch.float32))
                probs = probs.to(head.dtype)
                torch.mm(probs, head, out=grad[start : start + rows])
                if grad_head is not None:
                    grad_head += probs.T @ part
        ctx.save_for_backward(grad, grad_head)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad, grad_head = ctx.saved_tensors
        own = None if grad_head is None else grad_head.mul_(grads[0]).to(grad.dtype)
        return grad * grads[0].to(grad.dtype), own, None, None


def reply_loss(hidden: Tensor, head: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    """Summed negative log-likelihood in nats; gradients come from the same pass, the head's own where it is trained.

    Args:
        hidden: [reply tokens, width] last hidden states at the positions that predict a reply token.
        head: [vocabulary, width] output embedding.
        bias: [vocabulary] or None.
        targets: [reply tokens] token ids.
    """
    return _ReplyLoss.apply(hidden, head, bias, targets)  # type: ignore[no-any-return, no-untyped-call]
