"""4-bit weights that keep the model's outputs: GPTQ (arXiv 2210.17323), calibrated on the fine-tune's own samples.

Rounding to nearest costs a 135M model a KL of 0.4 nats per token; choosing each column's rounding so that it
compensates the errors of the columns before it costs the same bits and the same speed. It knows torch modules and
codes, and nothing about ONNX.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

BLOCK = 32
"""Weights that share one scale."""

DAMPING = 0.01
"""Share of the mean diagonal added to the Hessian: GPTQ's own value."""

SHRINK = tuple(1 - 0.025 * step for step in range(13))
"""Scales tried per block, as shares of the one that clips nothing: a few clipped outliers may cost less than a
coarser grid for all."""


@dataclass(frozen=True)
class Codes:
    """A linear layer's weight [out, in] as `(code - 8) * scale`."""

    codes: torch.Tensor
    """[out, in], uint8, 0 to 15."""
    scales: torch.Tensor
    """[out, in / BLOCK], float32; either sign."""


def quantise(
    model: Any, texts: Sequence[Sequence[int]], progress: Callable[[int, int], None] | None = None
) -> dict[str, Codes]:
    """Codes for every linear layer of a causal language model, by module name; the output head is `lm_head`.

    One pass over all texts: each layer is quantised as the pass reaches it, from the inputs that the layers before
    it, already quantised, produce. Changes the model's weights to the quantised ones.

    Args:
        model: transformers causal language model on CPU, fp32.
        texts: token ids to calibrate on, prompt and reply.
        progress: called with (layers done, layers).
    """
    import torch

    ids, positions, mask, real = packed(texts)
    found: dict[str, Codes] = {}
    head = model.get_output_embeddings()
    layers = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head and module.in_features % BLOCK == 0
    }
    total = len(layers) + 1
    shared: list[Any] = [None, None]  # the last input and its factor: query, key and value read one tensor

    def quantise_layer(name: str) -> Callable[[torch.nn.Module, tuple[torch.Tensor, ...]], None]:
        def hook(module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
            if shared[0] is not inputs[0]:
                x = inputs[0][real]  # [tokens, in]
                shared[:] = inputs[0], factor(x.T @ x)
            found[name] = gptq(module.weight.data, shared[1])
            module.weight.data = dequantised(found[name])
            if progress:
                progress(len(found), total)

        return hook

    hooks = [module.register_forward_pre_hook(quantise_layer(name)) for name, module in layers.items()]
    try:
        with torch.inference_mode():
            hidden = model.base_model(
                input_ids=ids, position_ids=positions, attention_mask=mask, use_cache=False
            ).last_hidden_state
            if head is not None and head.in_features % BLOCK == 0:
                x = hidden[real]
                found["lm_head"] = gptq(head.weight.data, factor(x.T @ x))
                # Untied from the input embeddings, which stay as they are.
                head.weight = torch.nn.Parameter(dequantised(found["lm_head"]), requires_grad=False)
    finally:
        for hook in hooks:
            hook.remove()
    if progress:
        progress(total, total)
    return found


def packed(texts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Several texts per row, in rows as long as the longest text; each text attends to itself only.

    With one text per row, half of a trade's tokens are padding, and two thirds of four trades'.

    Returns:
        Token ids and positions, both [rows, longest]; which token attends to which, [rows, 1, longest, longest] bool;
        which are no padding, [rows, longest] bool.
    """
    import torch

    longest = max(len(text) for text in texts)
    rows: list[list[Sequence[int]]] = []
    left: list[int] = []
    for text in sorted(texts, key=len, reverse=True):  # first fit, longest first
        row = next((row for row, free in enumerate(left) if free >= len(text)), len(rows))
        if row == len(rows):
            rows.append([])
            left.append(longest)
        rows[row].append(text)
        left[row] -= len(text)
    ids, positions = torch.zeros(2, len(rows), longest, dtype=torch.long)
    which = torch.full((len(rows), longest), -1)
    for number, side_by_side in enumerate(rows):
        start = 0
        for order, text in enumerate(side_by_side):
            stop = start + len(text)
            ids[number, start:stop] = torch.tensor(list(text))
            positions[number, start:stop] = torch.arange(len(text))
            which[number, start:stop] = order
            start = stop
    causal = torch.ones(longest, longest, dtype=torch.bool).tril()
    mask = (which[:, None, :, None] == which[:, None, None, :]) & causal
    return ids, positions, mask, which >= 0


def factor(hessian: torch.Tensor) -> torch.Tensor:
    """Upper Cholesky factor of the inverse of a layer's damped Hessian: the sum of `x xᵀ`, [in, in]."""
    import torch

    hessian = hessian.double().clone()
    diagonal = hessian.diagonal()
    diagonal[diagonal == 0] = 1  # an input that is always zero
    diagonal += DAMPING * diagonal.mean()
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
    upper: torch.Tensor = torch.linalg.cholesky(inverse, upper=True).float()
    return upper


def gptq(weight: torch.Tensor, upper: torch.Tensor) -> Codes:
    """Codes of `weight` [out, in] that keep `weight @ x` for the inputs that `upper` [in, in] is the factor of."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # thousands of small steps: on a busy machine two threads wait 20 times as long
    try:
        left = weight.float().clone()
        outs, ins = left.shape
        codes = torch.empty(outs, ins, dtype=torch.uint8)
        scales = torch.empty(outs, ins // BLOCK)
        for start in range(0, ins, BLOCK):
            stop = start + BLOCK
            block, errors = left[:, start:stop].clone(), torch.empty(outs, BLOCK)
            scale = best_scale(block)
            scales[:, start // BLOCK] = scale
            for column in range(BLOCK):
                row = upper[start + column, start:stop]
                code = (block[:, column] / scale).round_().clamp_(-8, 7)
                codes[:, start + column] = (code + 8).to(torch.uint8)
                error = (block[:, column] - code * scale) / row[column]
                block[:, column + 1 :].addr_(error, row[column + 1 :], alpha=-1)
                errors[:, column] = error
            left[:, stop:].addmm_(errors, upper[start:stop, stop:], alpha=-1)
        return Codes(codes, scales)
    finally:
        torch.set_num_threads(threads)


def best_scale(block: torch.Tensor) -> torch.Tensor:
    """For each row of `block` [out, BLOCK] the scale with the least squared error, [out].

    The code of -8 has no positive twin, so the largest weight is put there: the scale has its sign, reversed.
    """
    import torch

    at = block.abs().argmax(1, keepdim=True)
    full = block.gather(1, at)[:, 0] / -8
    full = torch.where(full == 0, torch.ones_like(full), full)
    best, least = full, torch.full_like(full, float("inf"))
    for share in SHRINK:
        scale = full * share
        error = (block / scale[:, None]).round_().clamp_(-8, 7).mul_(scale[:, None]).sub_(block).square_().sum(1)
        best = torch.where(error < least, scale, best)
        least = torch.minimum(error, least)
    return best


def dequantised(found: Codes) -> torch.Tensor:
    """The weight that the codes encode, [out, in]."""
    return (found.codes.float() - 8) * found.scales.repeat_interleave(BLOCK, 1)
