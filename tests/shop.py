"""Fixtures of the rooms that train: a small task, its samples, and the tiny base as the bases room hands it over."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from metier.bases.resolve import LocalBase, resolve
from metier.contracts import Provenance, Recipe, Sample, TaskContract, TaskKind, prompt


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
