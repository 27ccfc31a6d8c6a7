"""A small task, its samples, and the tiny base as the bases room hands it over."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from metier.bases.resolve import LocalBase, resolve
from metier.contracts import Preference, Provenance, Recipe, Sample, TaskContract, TaskKind, prompt


class Facts(BaseModel):
    facts: str


class Text(BaseModel):
    text: str


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny products gain nothing from threads, and threads of tests that run side by side wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def task() -> TaskContract:
    return TaskContract(
        name="shop.describe",
        kind=TaskKind.GENERATE,
        input=Facts,
        output=Text,
        prompts={"en": prompt("{{ facts }}", "Describe the facts in one sentence.")},
    )


@pytest.fixture(scope="session")
def samples() -> list[Sample]:
    """40 samples with distinct inputs, replies of two lengths."""
    colours = ("blue", "red", "green", "black", "white", "grey", "pink", "brown")
    pairs = [(colour, thing) for thing in ("mug", "lamp", "desk", "chair", "plate") for colour in colours]
    return [
        Sample(
            task="shop.describe",
            input={"facts": f"name[{thing}], colour[{colour}]"},
            output={"text": f"The {thing} is {colour}." + " It is warm." * (i % 2)},
            provenance=Provenance(source="shop.csv", line=i + 2, licence="CC0-1.0"),
        )
        for i, (colour, thing) in enumerate(pairs)
    ]


@pytest.fixture
def recipe() -> Recipe:
    """Small and quick: 8 steps over 16 samples, in fp32."""
    return Recipe(lora={"rank": 4, "alpha": 8}, learning_rate=5e-3, batch_size=4, precision="fp32", evaluations=2)


@pytest.fixture(scope="session")
def local_base(tiny_base: Path) -> LocalBase:
    return resolve(tiny_base)


@pytest.fixture(scope="session")
def start(task, samples, local_base, tmp_path_factory):
    """A fine-tune of 8 steps, to go on from."""
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
