"""Going on from a fine-tune: training begins where the other ended, and a run of another start is another run."""

from pathlib import Path

import pytest
import torch

from metier.adapt import adapt
from metier.bases.resolve import LocalBase
from metier.contracts import FineTune, Recipe, RecipeError, Sample, TaskContract, UsageError


@pytest.fixture(scope="module")
def first(task: TaskContract, samples: list[Sample], local_base: LocalBase, tmp_path_factory) -> FineTune:
    recipe = Recipe(lora={"rank": 4, "alpha": 8}, learning_rate=5e-3, batch_size=4, precision="fp32", epochs=3)
    return adapt(task, samples[:24], [], recipe, tmp_path_factory.mktemp("first") / "run", base=local_base)


def weights(finetune: FineTune) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(finetune.path / "adapter_model.safetensors")


def test_no_step_at_all_would_give_the_start_s_weights_back(
    first, task, samples, recipe, local_base, tmp_path: Path
) -> None:
    tiny = recipe.model_copy(update={"learning_rate": 1e-12})
    tuned_again = adapt(task, samples[:8], [], tiny, tmp_path / "run", base=local_base, start=first)
    before, after = weights(first), weights(tuned_again)
    assert before.keys() == after.keys() and all(torch.equal(before[k], after[k]) for k in before)
    assert tuned_again.card.start_sha256 == first.card.weights_sha256


def test_it_begins_at_the_loss_that_the_start_ended_with(
    first, task, samples, recipe, local_base, tmp_path: Path
) -> None:
    losses: dict[str, list[float]] = {"fresh": [], "on": []}
    for name, start in (("fresh", None), ("on", first)):
        adapt(
            task, samples[:24], [], recipe, tmp_path / name, base=local_base, start=start,
            progress=lambda event, name=name: losses[name].append(event.loss),
        )  # fmt: skip
    assert losses["on"][0] < 0.8 * losses["fresh"][0]


def test_another_start_is_another_run_and_the_same_one_is_found_finished(
    first, task, samples, recipe, local_base, tmp_path: Path
) -> None:
    tuned_again = adapt(task, samples[:8], [], recipe, tmp_path / "run", base=local_base, start=first)
    assert adapt(task, samples[:8], [], recipe, tmp_path / "run", base=local_base, start=first) == tuned_again
    with pytest.raises(UsageError, match="already holds"):
        adapt(task, samples[:8], [], recipe, tmp_path / "run", base=local_base)


def test_another_lora_than_the_start_s_is_refused(first, task, samples, recipe, local_base, tmp_path: Path) -> None:
    wider = recipe.model_copy(update={"lora": recipe.lora.model_copy(update={"rank": 8})})
    with pytest.raises(RecipeError, match="rank=4"):
        adapt(task, samples[:8], [], wider, tmp_path / "run", base=local_base, start=first)
