"""Packing rows behind a shared prefix changes neither the loss nor a gradient, and counts the reply alone."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metier.contracts import Recipe
from metier.training.examples import Example
from metier.training.lora_setup import add_lora, training_kernels
from metier.training.packing import common_prefix, micro_batches, pack, pad
from metier.training.training_model import TrainingModel, mean_loss

CPU = torch.device("cpu")
ROWS = [Example((1, 5, 6, 7), (8, 2)), Example((1, 5, 9), (3, 4, 2)), Example((1, 5, 6), (2,))]


def make_trainee(folder: Path, **model_options: Any) -> TrainingModel:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **model_options)
    adapted = add_lora(model, Recipe(lora={"rank": 4}), "tiny")
    with torch.no_grad():  # B starts at zero: give it values, so that gradients of A are not all zero
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)) * 0.05)
    return TrainingModel(adapted, pad_id=0)


def loss_and_gradients(training_model: TrainingModel, rows: list[Example]) -> tuple[torch.Tensor, list[torch.Tensor]]:
    loss = training_model.loss(rows)
    return loss.detach(), list(torch.autograd.grad(loss, training_model.weights))


def test_the_prefix_that_all_prompts_share_is_packed_once() -> None:
    batch = pack(ROWS, CPU, torch.float32)
    assert common_prefix(ROWS) == 2
    assert batch.ids.tolist() == [[1, 5, 6, 7, 8, 9, 3, 4, 6]]
    assert batch.positions.tolist() == [[0, 1, 2, 3, 4, 2, 3, 4, 2]]


def test_only_places_that_predict_a_reply_token_count() -> None:
    batch = pack(ROWS, CPU, torch.float32)
    assert batch.ids[0, batch.at].tolist() == [7, 8, 9, 3, 4, 6]
    assert batch.targets.tolist() == [8, 2, 3, 4, 2, 2]
    padded = pad(ROWS, CPU, pad_id=0)
    assert padded.ids.flatten()[padded.at].tolist() == [7, 8, 9, 3, 4, 6]


def test_identical_prompts_keep_their_last_token_in_their_own_row() -> None:
    assert common_prefix([ROWS[0], ROWS[0]]) == len(ROWS[0].prompt) - 1


@pytest.fixture(scope="module")
def training_model(tiny_base: Path) -> TrainingModel:
    return make_trainee(tiny_base)


rows = st.builds(
    lambda shared, own, reply: Example(tuple([7] * shared + own), (*reply, 2)),
    st.integers(0, 6),
    st.lists(st.integers(3, 380), min_size=1, max_size=9),
    st.lists(st.integers(3, 380), min_size=0, max_size=9),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.lists(rows, min_size=1, max_size=5))
def test_packed_and_padded_give_the_same_loss_and_gradients(
    training_model: TrainingModel, batch: list[Example]
) -> None:
    training_model.packed = False
    expected, expected_gradients = loss_and_gradients(training_model, batch)
    training_model.finish()
    with training_kernels(training_model.adapted):
        training_model.packed = True
        given_loss, gradients = loss_and_gradients(training_model, batch)
    training_model.finish()
    torch.testing.assert_close(given_loss, expected, rtol=1e-4, atol=1e-4)
    size = torch.cat([g.flatten() for g in expected_gradients]).norm()
    for mine, theirs in zip(gradients, expected_gradients, strict=True):
        assert (mine - theirs).norm() <= 1e-3 * theirs.norm() + 1e-5 * size


@pytest.mark.parametrize("packed", [True, False])
def test_the_nats_of_each_reply_are_those_that_it_costs_alone(
    training_model: TrainingModel, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    training_model.packed = False
    alone = [float(training_model.loss([row]).detach()) for row in ROWS]
    training_model.packed = packed
    for at_once in (1024, 8):
        monkeypatch.setattr("metier.training.training_model._FULL_SPEED", at_once)
        assert training_model.nats(ROWS) == pytest.approx(alone, rel=1e-4)
    training_model.finish()


def test_rows_too_long_to_keep_their_attention_give_the_same_gradients(
    training_model: TrainingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    training_model.packed = True
    _, kept = loss_and_gradients(training_model, ROWS)
    monkeypatch.setattr("metier.training.packed_attention._KEEP_BYTES", 0)
    _, recomputed = loss_and_gradients(training_model, ROWS)
    training_model.finish()
    for mine, theirs in zip(recomputed, kept, strict=True):
        assert torch.equal(mine, theirs)


def test_a_model_whose_attention_packs_is_packed_and_one_with_a_window_is_padded(tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

    sizes: dict[str, Any] = {
        "vocab_size": 64,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    probe = [Example(tuple(range(3, 20)), (9, 2)), Example(tuple(range(30, 60)), (4, 5, 2))]
    torch.manual_seed(0)
    for model, packs in (
        (LlamaForCausalLM(LlamaConfig(**sizes)), True),
        (MistralForCausalLM(MistralConfig(**sizes, sliding_window=4)), False),
    ):
        training_model = TrainingModel(add_lora(model.eval(), Recipe(), "tiny"), pad_id=0)
        with training_kernels(training_model.adapted):
            training_model.choose_layout(probe)
        assert training_model.packed is packs, type(model).__name__


def test_the_loss_over_several_tasks_is_the_mean_of_theirs_however_long_their_replies() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4
    )
    training_model = TrainingModel(add_lora(LlamaForCausalLM(config).eval(), Recipe(), "tiny"), pad_id=0)
    long = [Example((4, 5, 6), tuple(range(7, 40)), "shop.reply")] * 3
    short = [Example((4, 5, 6), (8, 2), "shop.intent")]
    apart = [mean_loss(training_model, rows, 2) for rows in (long, short)]
    assert mean_loss(training_model, [*long, *short], 2) == pytest.approx(sum(apart) / 2, rel=1e-5)


def test_micro_batches_keep_order_and_bound() -> None:
    parts = list(micro_batches(ROWS, most_tokens=8))
    assert [len(part) for part in parts] == [1, 2]
    assert [row for part in parts for row in part] == ROWS
