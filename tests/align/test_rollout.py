"""The rollout engine uses the present policy at once after an update; graph and torch differ by a measured amount."""

from pathlib import Path

import numpy as np
import pytest
import torch

from metier.align.policy_init import lora_weights, trainable
from metier.align.rollout import RolloutEngine, mismatch, rollout_bundle
from metier.bases.resolve import LocalBase
from metier.contracts import Dpo, FineTune, TaskContract


@pytest.fixture(scope="module")
def bundle(local_base: LocalBase, tmp_path_factory: pytest.TempPathFactory):
    return rollout_bundle(local_base, cache=tmp_path_factory.mktemp("cache"), precision="fp32")


def by_torch(adapted, rollout) -> list[float]:
    ids = torch.tensor([[*rollout.prompt, *rollout.reply]])
    with torch.no_grad():
        logits = adapted(input_ids=ids).logits[0, len(rollout.prompt) - 1 : -1]
    return logits.log_softmax(-1)[range(len(rollout.reply)), list(rollout.reply)].tolist()


def test_log_probabilities_are_those_of_the_live_policy_before_and_after_an_update(
    bundle, start: FineTune, task: TaskContract, local_base: LocalBase
) -> None:
    adapted = trainable(local_base, start, Dpo(precision="fp32")).eval()
    with RolloutEngine(bundle, rows=4, max_len=128) as rollouts:
        prompts = [rollouts.prompt(task, {"facts": facts}) for facts in ("name[mug]", "name[lamp], colour[red]") * 3]
        replies = []
        for _ in range(2):
            rollouts.set_weights(adapted)
            drawn = rollouts.draw(prompts, max_tokens=12, seed=1)
            replies.append([r.reply for r in drawn])
            for rollout in drawn:
                assert len(rollout.logprobs) == len(rollout.reply)
                assert rollout.ended == (rollout.reply[-1] == 2)
                assert rollout.logprobs == pytest.approx(by_torch(adapted, rollout), abs=2e-3)
            again = rollouts.draw(prompts, max_tokens=12, seed=1)
            assert [r.reply for r in again] == replies[-1], "same seed, same weights, same answers"
            with torch.no_grad():
                for weight in lora_weights(adapted).values():
                    weight += 0.05 * torch.randn_like(weight)
        assert replies[0] != replies[1] and len(set(replies[0])) > 2


def test_the_graph_is_exported_once_and_again_when_it_is_damaged(local_base: LocalBase, tmp_path: Path) -> None:
    stages: list[str] = []
    first = rollout_bundle(local_base, cache=tmp_path, progress=stages.append)
    rollout_bundle(local_base, cache=tmp_path, progress=stages.append)
    assert len(stages) == 1
    (first.path / "model.onnx.data").write_bytes(b"torn")
    rollout_bundle(local_base, cache=tmp_path, progress=stages.append)
    assert len(stages) == 2


def test_the_rollout_graph_has_8_bit_weights_and_is_close_to_the_policy(
    local_base: LocalBase, start: FineTune, task: TaskContract, tmp_path: Path
) -> None:
    adapted = trainable(local_base, start, Dpo(precision="fp32")).eval()
    quick = rollout_bundle(local_base, cache=tmp_path)
    assert quick.manifest.precision == "int8"
    with RolloutEngine(quick, rows=4, max_len=128) as rollouts:
        rollouts.set_weights(adapted)
        prompts = [rollouts.prompt(task, {"facts": f"name[{name}], colour[red]"}) for name in ("mug", "lamp", "desk")]
        drawn = rollouts.draw(prompts * 4, max_tokens=12, seed=2)
    assert [r.prompt for r in drawn] == prompts * 4, "in the order of the prompts, whatever is decoded first"
    found = mismatch([v for r in drawn for v in by_torch(adapted, r)], [v for r in drawn for v in r.logprobs])
    assert 0 < found.mean_abs < 0.2 and found.kl < 0.05


def test_answers_are_drawn_from_the_policy_s_own_distribution(bundle, local_base: LocalBase, recipe) -> None:
    adapted = trainable(local_base, recipe, Dpo(precision="fp32")).eval()
    prompt = (5, 6, 7, 8)
    with torch.no_grad():
        expected = adapted(input_ids=torch.tensor([prompt])).logits[0, -1].softmax(-1).numpy()
    with RolloutEngine(bundle, rows=8, max_len=16) as rollouts:
        rollouts.set_weights(adapted)
        drawn = [r.reply[0] for r in rollouts.draw([prompt] * 600, max_tokens=1, seed=3)]
    found = np.bincount(drawn, minlength=len(expected)) / len(drawn)
    top = expected.argsort()[-3:]
    assert found[top] == pytest.approx(expected[top], abs=0.07)


def test_the_mismatch_is_nothing_for_equal_numbers_and_never_negative() -> None:
    assert mismatch([-1.0, -2.0], [-1.0, -2.0]).kl == 0
    found = mismatch([-1.0, -2.0], [-1.1, -1.8])
    assert found.kl > 0 and found.max_abs == pytest.approx(0.2) and found.mean_abs == pytest.approx(0.15)
