"""The small task of the rooms that train, an initial fine-tune, and preferences."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from metier.contracts import FineTune, Preference, Provenance, Recipe, Sample, TaskContract

sys.path.insert(0, str(Path(__file__).parents[1]))
from shop import _one_thread, local_base, recipe, samples, task

__all__ = ["_one_thread", "local_base", "recipe", "samples", "task"]


@pytest.fixture(scope="session")
def start(task, samples, local_base, tmp_path_factory):
    """A fine-tune of 8 steps."""
    from metier.adapt import adapt

    recipe = Recipe(lora={"rank": 4, "alpha": 8}, learning_rate=5e-3, batch_size=4, precision="fp32", evaluations=1)
    out = tmp_path_factory.mktemp("start") / "run"
    return adapt(task, samples[:16], samples[16:24], recipe, out, base=local_base)


@pytest.fixture(scope="session")
def preferences(samples) -> list[Preference]:
    """24 pairs: the short answer is preferred to one that adds a claim."""
    return [
        Preference(
            task=s.task,
            input=s.input,
            chosen={"text": s.output["text"].removesuffix(" It is warm.")},
            rejected={"text": s.output["text"].removesuffix(" It is warm.") + " Made in Italian oak."},
            provenance=Provenance(source="pairs.jsonl", line=i),
        )
        for i, s in enumerate(samples[:24], 1)
    ]


@pytest.fixture
def margin(local_base) -> Callable[[FineTune, TaskContract, list[Preference]], float]:
    """Mean log-probability of the chosen over the rejected answers under a fine-tune, by plain PEFT."""
    import torch

    from metier.align.pairs import chosen_of, rejected_of
    from metier.bases.torch_model import load_adapted
    from metier.decoding.tokenizer import ChatTokenizer
    from metier.training.examples import encode_samples
    from metier.training.training_model import TrainingModel

    def found(tuned: FineTune, task: TaskContract, preferences: list[Preference]) -> float:
        tokenizer = ChatTokenizer.load(local_base.path)
        training_model = TrainingModel(load_adapted(local_base, tuned), tokenizer.pad_id)

        def likelihood(samples: list[Sample]) -> float:
            examples = encode_samples(tokenizer, {task.name: task}, samples, 512)
            with torch.no_grad():
                return -float(training_model.loss(examples)) / len(examples)

        return likelihood([chosen_of(p) for p in preferences]) - likelihood([rejected_of(p) for p in preferences])

    return found
