"""Each kernel computes what plain torch computes, forwards and backwards."""

import pytest
import torch
from torch.nn import functional

from metier.training.lora_linear import lora_forward
from metier.training.reply_loss import reply_loss
from metier.training.rms_norm import norm_forward


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("biased", [True, False])
def test_lora_linear_equals_the_sum_of_both_products_and_its_gradients(biased: bool) -> None:
    w, bias = torch.randn(6, 5), torch.randn(6) if biased else None
    x, a, b = (torch.randn(*s).requires_grad_() for s in ((2, 3, 5), (4, 5), (6, 4)))
    given = lora_forward(w, bias, a, b, 0.5)(x)
    expected = functional.linear(x, w, bias) + 0.5 * (x @ a.T @ b.T)
    torch.testing.assert_close(given, expected)
    weight = torch.randn_like(given)
    for mine, theirs in zip(
        torch.autograd.grad(given, (x, a, b), weight), torch.autograd.grad(expected, (x, a, b), weight), strict=True
    ):
        torch.testing.assert_close(mine, theirs)


def test_rms_norm_equals_its_formula_and_gradient() -> None:
    x, weight = torch.randn(3, 4, 8, requires_grad=True), torch.randn(8)
    given = norm_forward(weight, 1e-5)(x)
    expected = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * weight
    torch.testing.assert_close(given, expected)
    upstream = torch.randn_like(given)
    torch.testing.assert_close(
        torch.autograd.grad(given, x, upstream)[0], torch.autograd.grad(expected, x, upstream)[0]
    )


@pytest.mark.parametrize("slice_bytes", [1, 4 * 11 * 4, 1 << 20])
def test_reply_loss_equals_cross_entropy_however_it_is_sliced(
    slice_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metier.training.reply_loss._SLICE_BYTES", slice_bytes)
    hidden, head, targets = torch.randn(9, 5, requires_grad=True), torch.randn(11, 5), torch.randint(11, (9,))
    given = reply_loss(hidden, head, None, targets)
    expected = functional.cross_entropy(hidden @ head.T, targets, reduction="sum")
    torch.testing.assert_close(given, expected)
    torch.testing.assert_close(torch.autograd.grad(given / 9, hidden)[0], torch.autograd.grad(expected / 9, hidden)[0])


def test_reply_loss_without_gradient_is_the_same_number() -> None:
    hidden, head, targets = torch.randn(9, 5, requires_grad=True), torch.randn(11, 5), torch.randint(11, (9,))
    with torch.no_grad():
        alone = reply_loss(hidden, head, None, targets)
    torch.testing.assert_close(alone, reply_loss(hidden, head, None, targets).detach())
