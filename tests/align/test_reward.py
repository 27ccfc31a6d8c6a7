"""Reward models learn pairs and say how sure they are; rewards by rule come from the trade's own checks."""

import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from metier.adapt import adapt
from metier.align import load_reward, prefer, train_reward
from metier.align.calibration import pair_figures
from metier.align.pairs import encode_pairs
from metier.align.rewards import RolloutAnswer, model_reward, rule_reward, weighted
from metier.bases.finetune import load_finetune
from metier.bases.resolve import LocalBase
from metier.contracts import (
    Check,
    DataError,
    Finding,
    FineTune,
    Preference,
    Recipe,
    RewardModelling,
    TaskContract,
    UsageError,
)
from metier.decoding.tokenizer import ChatTokenizer

QUICK = {"epochs": 3, "learning_rate": 5e-3, "precision": "fp32"}


def answer(task: TaskContract, text: str, *, ended: bool = True) -> RolloutAnswer:
    return RolloutAnswer(task=task, input={"facts": "name[mug]"}, prompt=(1, 2), reply=(3, 4), text=text, ended=ended)


def no_oak(input, output) -> list[Finding]:
    return [Finding(message="oak")] * output["text"].count("oak")


def is_short(input, output) -> list[Finding]:
    return [] if len(output["text"]) < 40 else [Finding(message="long")]


def checks(task: TaskContract) -> list[Check]:
    passing, failing = ({"facts": "a"}, {"text": "a"}), ({"facts": "a"}, {"text": "oak" * 20})
    return [Check(f.__name__, (task.name,), f, passing, failing) for f in (no_oak, is_short)]


@pytest.mark.parametrize("fresh", [False, True], ids=["from the fine-tune", "from the base"])
def test_a_reward_model_separates_held_out_pairs_and_scores_the_same_after_loading(
    fresh: bool,
    start: FineTune,
    recipe: Recipe,
    task: TaskContract,
    preferences: list[Preference],
    local_base: LocalBase,
    tmp_path: Path,
) -> None:
    begin = recipe if fresh else start
    settings, held_out = RewardModelling(**{**QUICK, "epochs": 10}), preferences[16:]
    card = train_reward(begin, preferences[:16], held_out, tmp_path / "rm", settings, tasks=[task], base=local_base)
    assert card.held_out.accuracy == 1.0 and card.held_out.margin > 0.5 and card.held_out.brier < 0.15
    assert card.began_from == (None if fresh else start.card.weights_sha256)
    assert {p.name for p in (tmp_path / "rm").iterdir()} == {
        *("adapter_model.safetensors", "adapter_config.json", "reward.json")
    }
    model = load_reward(tmp_path / "rm", base=local_base, precision="fp32")
    pairs = encode_pairs(ChatTokenizer.load(local_base.path), {task.name: task}, held_out, 512)
    chosen = model.score([[*p.prompt, *p.chosen] for p in pairs])
    rejected = model.score([[*p.prompt, *p.rejected] for p in pairs])
    margins = [c - r for c, r in zip(chosen, rejected, strict=True)]
    assert sum(margins) / len(margins) == pytest.approx(card.held_out.margin, abs=1e-4)
    both = model.standard([[*p.prompt, *p.chosen] for p in pairs] + [[*p.prompt, *p.rejected] for p in pairs])
    assert sum(both) == pytest.approx(0, abs=1e-3)
    assert sum(v * v for v in both) / len(both) == pytest.approx(1, abs=1e-3)


def test_a_killed_reward_run_ends_with_the_same_weights_and_a_damaged_model_raises(
    start: FineTune, preferences: list[Preference], local_base: LocalBase, tmp_path: Path
) -> None:
    settings = RewardModelling(epochs=1, batch_size=4, precision="fp32", checkpoint_seconds=1e-6)

    class Killed(BaseException):
        pass

    def stop(event) -> None:
        if event.step == 3:
            raise Killed

    arguments = (start, preferences[:16], preferences[16:], tmp_path / "rm", settings)
    with pytest.raises(Killed):
        train_reward(*arguments, base=local_base, progress=stop)
    with pytest.raises(UsageError, match=r"no reward\.json"):
        load_reward(tmp_path / "rm", base=local_base)
    steps: list[int] = []
    card = train_reward(*arguments, base=local_base, progress=lambda event: steps.append(event.step))
    assert steps in ([3, 4], [4])
    uninterrupted = train_reward(*arguments[:3], tmp_path / "uninterrupted", settings, base=local_base)
    assert card.weights_sha256 == uninterrupted.weights_sha256, "bit by bit"
    assert train_reward(*arguments, base=local_base) == card
    weights = tmp_path / "rm/adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match="damaged"):
        load_reward(tmp_path / "rm", base=local_base)


def test_calibration_by_hand() -> None:
    # Two pairs at 73% confidence, one of them right; one at 95%, right.
    found = pair_figures([1.0, -1.0, 3.0])
    sure, surer = 1 / (1 + math.exp(-1)), 1 / (1 + math.exp(-3))
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.ece == pytest.approx(2 / 3 * abs(0.5 - sure) + 1 / 3 * (1 - surer))
    assert found.brier == pytest.approx(((1 - sure) ** 2 + sure**2 + (1 - surer) ** 2) / 3)
    coin = pair_figures([0.0, 0.0])
    assert (coin.accuracy, coin.brier, coin.ece) == (0.5, 0.25, 0.0)


def test_fewer_findings_give_a_higher_reward_and_a_cut_answer_gets_none(task: TaskContract) -> None:
    reward = rule_reward(checks(task))
    texts = ["A mug.", "A mug, oak.", "A mug, oak, oak.", "oak " * 20]
    assert reward([answer(task, text) for text in texts]) == [1.0, 0.75, 0.625, pytest.approx(0.25, abs=1e-5)]
    assert reward([answer(task, "A mug.", ended=False)]) == [0.0]


def test_rule_and_model_rewards_are_summed_with_weights(task: TaskContract) -> None:
    class Constant:
        card = SimpleNamespace(weights_sha256="1f", base=None)

        def standard(self, answers):
            return [float(len(ids)) for ids in answers]

    both = weighted([(1.0, rule_reward(checks(task))), (0.5, model_reward(Constant()))])  # type: ignore[arg-type]
    assert both([answer(task, "A mug."), answer(task, "A mug, oak.")]) == [1.0 + 2.0, 0.75 + 2.0]
    assert both.name == "1 checks(no_oak,is_short) + 0.5 model(1f)"


def test_a_reward_model_does_not_replace_a_fine_tune_and_vice_versa(
    start, preferences, local_base, tmp_path: Path
) -> None:
    kept, settings = tmp_path / "kept", RewardModelling(precision="fp32", epochs=1)
    shutil.copytree(start.path, kept)
    for resume in (True, False):
        with pytest.raises(UsageError, match="the folder holds a fine-tune"):
            train_reward(start, preferences[:4], preferences[4:8], kept, settings, base=local_base, resume=resume)
    assert load_finetune(kept).card == start.card
    (tmp_path / "reward").mkdir()
    (tmp_path / "reward/reward.json").write_text("{}")
    with pytest.raises(UsageError, match="the folder holds a reward model"):
        prefer(start, preferences[:4], tmp_path / "reward", base=local_base)


def test_a_reward_model_starts_from_a_lora_only(task, samples, preferences, local_base, tmp_path: Path) -> None:
    recipe = Recipe(method="full", layers="top:1", precision="fp32", epochs=1)
    full = adapt(task, samples[:4], [], recipe, tmp_path / "full", base=local_base)
    with pytest.raises(UsageError, match="is no LoRA"):
        train_reward(full, preferences[:4], preferences[4:8], tmp_path / "reward", base=local_base)
