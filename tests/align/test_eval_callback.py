"""What is watched in training is what an evaluation of the same weights says, and moves as the weights move."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from metier.adapt import adapt
from metier.align import EvalCallback, prefer
from metier.align.policy_init import lora_weights, trainable
from metier.align.rollout import rollout_bundle
from metier.bases.resolve import LocalBase
from metier.contracts import (
    Check,
    Dpo,
    Finding,
    FineTune,
    Kto,
    Recipe,
    RequestError,
    Sample,
    TaskContract,
    UsageError,
    Value,
)
from metier.evaluate import EvaluationOptions, evaluate
from metier.metrics.results import BASE_ZERO_SHOT, FINE_TUNE
from metier.training import Progress


def _short(given: Value, answer: Value) -> list[Finding]:
    return [Finding(message="long")] if len(answer["text"]) > 24 else []


SHORT = Check(
    name="short",
    tasks=("shop.describe",),
    run=_short,
    passing=({"facts": "name[mug]"}, {"text": "A mug."}),
    failing=({"facts": "name[mug]"}, {"text": "A mug of many words, of which none is needed."}),
)


@pytest.fixture(scope="module")
def bundle(local_base: LocalBase, tmp_path_factory: pytest.TempPathFactory):
    return rollout_bundle(local_base, cache=tmp_path_factory.mktemp("cache"), precision="fp32")


@pytest.fixture
def watch(bundle, local_base: LocalBase, task: TaskContract, samples: list[Sample]) -> Iterator[EvalCallback]:
    with EvalCallback(local_base, [task], samples[16:24], lambda name: [SHORT], inputs=6, bundle=bundle) as watch:
        yield watch


def test_the_figures_equal_an_evaluation_of_the_present_weights(
    watch: EvalCallback, start: FineTune, task: TaskContract, samples: list[Sample], local_base: LocalBase
) -> None:
    found = evaluate(
        task, samples[16:22], base=local_base, finetune=start, checks=[SHORT],
        options=EvaluationOptions(few_shot=0, resamples=1, precision="fp32", general=False),
    )  # fmt: skip
    adapted = trainable(local_base, start, Dpo(precision="fp32")).eval()
    results = [watch(adapted)]
    with torch.no_grad():
        for weight in lora_weights(adapted).values():
            weight.zero_()
    results.append(watch(adapted))
    for figures, system in zip(results, (FINE_TUNE, BASE_ZERO_SHOT), strict=True):
        assert figures == pytest.approx({m.name: m.values[system].value for m in found.metrics}, abs=1e-3)
    assert results[0] != results[1] and {"chrf", "check.short"} <= set(results[0])


def test_missing_or_too_long_samples_raise_before_training(
    bundle, task: TaskContract, samples: list[Sample], local_base: LocalBase
) -> None:
    with pytest.raises(UsageError, match="no held-out samples"):
        EvalCallback(local_base, [task], [], bundle=bundle)
    endless = task.model_copy(update={"max_reply_tokens": 4000})
    long = samples[0].model_copy(update={"input": {"facts": "word " * 5000}})
    with pytest.raises(RequestError, match="leave no room"):
        EvalCallback(local_base, [endless], [long], bundle=bundle)


def test_an_evaluated_run_gives_the_same_weights_and_logs_its_figures(
    watch: EvalCallback,
    task: TaskContract,
    samples: list[Sample],
    recipe: Recipe,
    local_base: LocalBase,
    tmp_path: Path,
) -> None:
    events: list[Progress] = []
    for name, watching in (("alone", None), ("watched", watch)):
        adapt(
            task, samples[:16], samples[16:24], recipe, tmp_path / name, base=local_base, watch=watching,
            progress=events.append,
        )  # fmt: skip
    alone, watched = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("alone", "watched"))
    assert all(torch.equal(alone[name], watched[name]) for name in watched)
    answers = [event.answers for event in events if event.held_out_loss is not None]
    assert answers[:2] == [None, None] and len(answers) == 4
    assert answers[2] and answers[3] and answers[2] != answers[3]
    log = [json.loads(line) for line in (tmp_path / "watched/log.jsonl").read_text("utf-8").splitlines()]
    assert [line["answers"] for line in log if "answers" in line] == answers[2:]


@pytest.mark.parametrize("kind", [Dpo, Kto], ids=["dpo", "kto"])
def test_evaluating_does_not_change_an_alignment_even_after_a_kill(
    kind: type[Dpo | Kto], bundle, start: FineTune, task, samples, preferences, local_base, tmp_path: Path
) -> None:
    settings = kind(epochs=2, batch_size=4, learning_rate=5e-3, precision="fp32", checkpoint_seconds=1e-6)
    alone = prefer(start, preferences[:8], tmp_path / "alone", settings, base=local_base)
    assert not (alone.path / "log.jsonl").exists()
    steps = 4 if kind is Dpo else 8

    class Killed(BaseException):
        pass

    def stop(event: Progress) -> None:
        if event.step == steps - 1:
            raise Killed

    brief = task.model_copy(update={"max_reply_tokens": 12})
    with EvalCallback(local_base, [brief], samples[16:24], lambda name: [SHORT], inputs=2, bundle=bundle) as watch:
        same = {"base": local_base, "watch": watch}
        with pytest.raises(Killed):
            prefer(start, preferences[:8], tmp_path / "run", settings, **same, progress=stop)
        watched = prefer(start, preferences[:8], tmp_path / "run", settings, **same)
    assert watched.card.weights_sha256 == alone.card.weights_sha256
    log = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text("utf-8").splitlines()]
    assert [line["step"] for line in log] == list(range(1, steps + 1)), "no step twice"
    assert [line["step"] for line in log if "answers" in line] == [steps * k // 4 for k in (1, 2, 3, 4)]
    assert {"chrf", "check.short"} <= set(log[-1]["answers"]) and log[0] != log[-1]
