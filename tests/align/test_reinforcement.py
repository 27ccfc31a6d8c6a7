"""From a fine-tune and a reward to a better-rewarded fine-tune, by PPO and by GRPO, also when the run is killed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from metier.align import reinforce, rollout_bundle
from metier.align.policy_init import lora_weights
from metier.align.reinforcement import RolloutSource
from metier.align.rewards import Reward, RolloutAnswer, weighted
from metier.align.rollout import RolloutEngine
from metier.align.updates import LOG, Update, figures_of, keep_until, read, record
from metier.bases import cache
from metier.bases.finetune import load_finetune
from metier.bases.resolve import LocalBase
from metier.contracts import DataError, FineTune, Grpo, Ppo, RecipeError, Sample, TaskContract, UsageError
from metier.decoding.tokenizer import ChatTokenizer
from metier.prompting.prompt import prompt_ids

QUICK = {"rollouts": 32, "batch_size": 16, "max_tokens": 6, "precision": "fp32"}


NEW_LINE = 201


def _lines(answers: list[RolloutAnswer]) -> list[float]:
    """Share of tokens that are line breaks: some five in a hundred before, all of them at best."""
    return [sum(token == NEW_LINE for token in answer.reply) / len(answer.reply) for answer in answers]


def _even(answers: list[RolloutAnswer]) -> list[float]:
    return [sum(token % 2 == 0 for token in answer.reply) / len(answer.reply) for answer in answers]


LINES = Reward("lines", _lines)  # type: ignore[arg-type]
EVEN = Reward("even", _even)  # type: ignore[arg-type]
"""Of two answers one nearly always earns more, also of an untrained policy."""


def size(adapted: Any) -> dict[str, float]:
    """Something to watch that costs nothing."""
    return {"size": sum(float(weight.detach().abs().sum()) for weight in lora_weights(adapted).values())}


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory):
    """Rollout graphs are kept apart from the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METIER_HOME", str(tmp_path_factory.mktemp("home")))
        yield cache.home()


@pytest.mark.parametrize(
    "settings",
    [
        Ppo(updates=24, learning_rate=4e-3, kl_weight=0.01, **{**QUICK, "rollouts": 64, "batch_size": 32}),
        Grpo(updates=12, learning_rate=3e-2, kl_weight=0.01, group=16, **{**QUICK, "batch_size": 8}),
    ],
    ids=["ppo", "grpo"],
)
def test_a_fine_tune_gains_reward_and_its_card_records_the_kl(
    settings: Ppo | Grpo, start: FineTune, samples: list[Sample], local_base: LocalBase, tmp_path: Path
) -> None:
    updates_seen: list[tuple[int, int]] = []
    # Some answers of every update earn it and others do not; line breaks are so rare that an update may see none.
    tuned = reinforce(
        start, samples[:12], EVEN, tmp_path / "run", settings, base=local_base,
        progress=lambda update, total: updates_seen.append((update.update, total)),
    )  # fmt: skip
    assert updates_seen == [(n, settings.updates) for n in range(1, settings.updates + 1)]
    (step,) = tuned.card.alignment
    assert step.figures["score_last"] > step.figures["score_first"] + 0.15
    assert step.figures["kl_last"] > 0.3 and 0 < step.figures["drift"] < 0.3, "the graph has 8-bit weights"
    assert load_finetune(tuned.path) == tuned
    updates = read(tuned.path / LOG)
    assert [u.update for u in updates] == list(range(1, settings.updates + 1))
    assert updates[0].kl == pytest.approx(0, abs=1e-2), "the reference is the initial fine-tune"
    best, worst = json.loads((tuned.path / LOG).read_text("utf-8").splitlines()[0])["answers"]
    assert best["score"] >= worst["score"] and "facts" in best["input"]
    assert set(load_file(tuned.path / "adapter_model.safetensors")) == set(
        load_file(start.path / "adapter_model.safetensors")
    )


@pytest.mark.parametrize("method", [Ppo, Grpo], ids=["ppo", "grpo"])
def test_a_killed_run_resumes_and_ends_with_the_same_weights(
    method: type, start: FineTune, samples: list[Sample], local_base: LocalBase, tmp_path: Path
) -> None:
    settings = method(
        updates=4, checkpoint_seconds=1e-6, learning_rate=1e-2, **{**QUICK, "rollouts": 16, "batch_size": 8}
    )

    class Killed(BaseException):
        pass

    def stop(update: Update, _: int) -> None:
        if update.update == 3:
            raise Killed

    with pytest.raises(Killed):
        reinforce(start, samples[:12], LINES, tmp_path / "run", settings, base=local_base, progress=stop)
    assert not (tmp_path / "run/card.json").exists()
    (tmp_path / "run" / LOG).open("a").write('{"update": 4, "sco')  # a line whose writing was killed
    numbers: list[int] = []
    tuned = reinforce(
        start, samples[:12], LINES, tmp_path / "run", settings, base=local_base,
        progress=lambda update, _: numbers.append(update.update),
    )  # fmt: skip
    assert numbers == ([4] if method is Ppo else [3, 4])
    uninterrupted = reinforce(
        start, samples[:12], LINES, tmp_path / "uninterrupted", settings, base=local_base, watch=size
    )
    assert tuned.card.weights_sha256 == uninterrupted.card.weights_sha256, "also where the other run was evaluated"
    assert [u.watched is not None for u in read(uninterrupted.path / LOG)] == [True] * 4
    assert [replace(u, watched=None) for u in read(uninterrupted.path / LOG)] == read(tuned.path / LOG)
    assert [u.update for u in read(tuned.path / LOG)] == [1, 2, 3, 4]
    assert reinforce(start, samples[:12], LINES, tmp_path / "run", settings, base=local_base) == tuned
    other = Reward("other", _lines)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="of another run"):
        reinforce(start, samples[:12], other, tmp_path / "run", settings, base=local_base)


@pytest.mark.parametrize("method", [Ppo, Grpo], ids=["ppo", "grpo"])
def test_a_run_is_evaluated_four_times_and_reported_with_its_update(
    method: type, start: FineTune, samples: list[Sample], local_base: LocalBase, tmp_path: Path
) -> None:
    settings = method(updates=9, learning_rate=1e-2, **{**QUICK, "rollouts": 8, "batch_size": 4, "max_tokens": 3})
    updates: list[Update] = []
    tuned = reinforce(
        start, samples[:12], EVEN, tmp_path / "run", settings, base=local_base,
        watch=size, progress=lambda update, _: updates.append(update),
    )  # fmt: skip
    assert [u.update for u in updates if u.watched] == [2, 4, 7, 9] and updates == read(tuned.path / LOG)
    stored = load_file(tuned.path / "adapter_model.safetensors").values()
    sizes = [u.watched["size"] for u in updates if u.watched]
    assert sizes[-1] == pytest.approx(sum(float(w.float().abs().sum()) for w in stored), rel=1e-4), "fp16 on disk"
    assert sizes[-1] != pytest.approx(sizes[-2], rel=1e-3)


def test_grpo_s_loss_type_changes_the_weights(
    start: FineTune, task: TaskContract, samples: list[Sample], local_base: LocalBase, tmp_path: Path
) -> None:
    same = {**QUICK, "rollouts": 8, "batch_size": 8, "group": 4, "updates": 2, "learning_rate": 1e-2}
    long = samples[1].model_copy(update={"input": {"facts": "name[desk], colour[white], made of oak, warm, cheap"}})
    # The long prompt leaves two tokens and the short one six: with answers of one length all means are the same.
    room = 2 + len(prompt_ids(ChatTokenizer.load(local_base.path), task, long.input))
    runs = [
        reinforce(
            start, [samples[0], long], EVEN, tmp_path / kind, Grpo(**same, max_length=room, loss_type=kind),
            base=local_base,
        )
        for kind in ("dapo", "grpo", "dr_grpo")
    ]  # fmt: skip
    assert len({tuned.card.weights_sha256 for tuned in runs}) == 3
    assert Grpo().loss_type == "dapo"


def test_every_input_is_used_once_before_any_is_used_twice(
    task: TaskContract, samples: list[Sample], local_base: LocalBase
) -> None:
    with RolloutEngine(rollout_bundle(local_base), rows=2, max_len=128) as rollouts:
        source = RolloutSource({task.name: task}, samples[:6], LINES, rollouts, Ppo(max_length=128))
        used = [str(request.sample.input) for update in range(3) for request in source.requests(update, 4)]
        assert len(set(used[:6])) == 6 and sorted(used[:6]) == sorted(used[6:]) and used[:6] != used[6:]
        assert source.requests(1, 4) == source.requests(1, 4)
        with pytest.raises(DataError, match=r"shop\.csv:2: the prompt's \d+ tokens leave no room"):
            RolloutSource({task.name: task}, samples[:1], LINES, rollouts, Ppo(max_length=10))
        with pytest.raises(UsageError, match="no inputs"):
            RolloutSource({task.name: task}, [], LINES, rollouts, Ppo())


def test_group_and_batch_must_divide_the_rollouts(start, samples, local_base, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="not a multiple of group, 5"):
        reinforce(start, samples[:4], LINES, tmp_path / "run", Grpo(rollouts=16, group=5), base=local_base)


def test_a_log_is_truncated_to_a_checkpoint(tmp_path: Path) -> None:
    log = tmp_path / LOG
    log.write_text("".join(json.dumps({"update": n}) + "\n" for n in (1, 2, 3)) + '{"upd', "utf-8")
    keep_until(log, 2)
    assert [json.loads(line)["update"] for line in log.read_text("utf-8").splitlines()] == [1, 2]
    flat = [Update(update=n, score=n / 10, kl=1.0, beta=0.1, length=5, drift=0.01) for n in range(20)]
    assert figures_of(flat)["score_first"] == pytest.approx(0.05)
    assert figures_of(flat)["score_last"] == pytest.approx(1.85)


def test_an_answer_with_a_line_s_end_of_unicode_is_one_line_of_the_log(task, tmp_path: Path) -> None:
    update = Update(update=1, score=0.0, kl=0.0, beta=0.1, length=1.0, drift=0.0)
    odd = RolloutAnswer(task=task, input={"facts": "a\u2028b"}, prompt=(1,), reply=(2,), text="c\u0085d", ended=True)
    log = tmp_path / LOG
    for number in (1, 2):
        record(log, replace(update, update=number), [odd], [0.0])
    with log.open("a") as file:
        file.write('{"half')
    keep_until(log, 2)
    assert [one.update for one in read(log)] == [1, 2]
    keep_until(log, 1)
    assert [one.update for one in read(log)] == [1]


def test_a_reward_model_of_another_base_raises_before_any_rollout(start, samples, local_base, tmp_path: Path) -> None:
    other = local_base.card.model_copy(update={"id": "another", "sha256": "0" * 64})
    reward = weighted([(1.0, LINES), (0.2, Reward("model", _lines, (other,)))])
    with pytest.raises(UsageError, match="the reward model is of the base another"):
        reinforce(start, samples[:4], reward, tmp_path / "run", Ppo(**QUICK), base=local_base)
    assert not (tmp_path / "run").exists()
