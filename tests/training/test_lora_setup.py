"""Which layers and projections learn, and that the model comes back as PEFT made it."""

from pathlib import Path
from typing import Any

import pytest
import torch

from metier.contracts import Recipe, RecipeError
from metier.training.lora_setup import add_lora, chosen_layers, training_kernels


def test_layers_all_and_top_n() -> None:
    assert chosen_layers("all", 30) is None
    assert chosen_layers("top:2", 30) == [28, 29]
    with pytest.raises(RecipeError, match=r"layers: top:31, but the base has 30 layers"):
        chosen_layers("top:31", 30)


@pytest.fixture
def model(tiny_base: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.bfloat16)


def test_targets_are_every_projection_but_the_head_or_those_named(model: Any) -> None:
    adapted = add_lora(model, Recipe(lora={"targets": ["q_proj"]}), "tiny")
    trained = [name for name, weight in adapted.named_parameters() if weight.requires_grad]
    assert len(trained) == 3 * 2 and all("q_proj" in name for name in trained)


def test_all_linear_leaves_the_head_frozen_and_keeps_masters_in_fp32(model: Any) -> None:
    adapted = add_lora(model, Recipe(), "tiny")
    trained = {name: weight for name, weight in adapted.named_parameters() if weight.requires_grad}
    assert len(trained) == 3 * 7 * 2 and not any("lm_head" in name or "embed" in name for name in trained)
    assert {weight.dtype for weight in trained.values()} == {torch.float32}


def test_a_target_that_the_base_has_not_is_named_with_those_it_has(model: Any) -> None:
    with pytest.raises(RecipeError, match=r"no projection named query\s+→ choose from .*q_proj"):
        add_lora(model, Recipe(lora={"targets": ["query", "q_proj"]}), "tiny")


def test_kernels_are_in_place_only_inside_the_block(model: Any) -> None:
    adapted = add_lora(model, Recipe(), "tiny")
    ids = torch.arange(3, 13)[None]

    def swapped() -> int:
        return sum("forward" in vars(module) for module in adapted.modules())

    with torch.no_grad():
        before = adapted(input_ids=ids).logits
        with training_kernels(adapted):
            assert swapped() == 3 * 7 + 3 * 2 + 1  # projections, two norms a layer, the last norm
            inside = adapted(input_ids=ids).logits
        assert swapped() == 0
        assert torch.equal(adapted(input_ids=ids).logits, before)
    assert (inside - before).float().norm() < 0.03 * before.float().norm()


def test_a_norm_that_computes_something_else_is_left_alone(model: Any) -> None:
    class OddRMSNorm(torch.nn.Module):
        """As Gemma's: multiplies by 1 + weight."""

        def __init__(self, like: Any) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(like.weight.detach().clone(), requires_grad=False)
            self.variance_epsilon = 1e-6

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.rms_norm(x, x.shape[-1:], 1 + self.weight, 1e-6)

    model.model.norm = OddRMSNorm(model.model.norm)
    adapted = add_lora(model, Recipe(), "tiny")
    with training_kernels(adapted):
        assert "forward" not in vars(model.model.norm)
        assert "forward" in vars(model.model.layers[0].input_layernorm)
