"""A tiny task with its base, a first fine-tune and a bundle with slots; one thread, as the other rooms' tests."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from pydantic import BaseModel

from metier.contracts import Check, Finding, FineTune, Recipe, Sample, TaskContract, TaskKind, prompt
from metier.feedback import FeedbackStore
from metier.iterate import Registry

COLOURS = ("blue", "red", "green", "black", "white", "grey", "pink", "brown", "golden", "silver")
THINGS = ("mug", "lamp", "desk", "chair", "plate", "kettle", "clock", "stool")


class Facts(BaseModel):
    facts: str


class Text(BaseModel):
    text: str


def sample_of(colour: str, thing: str) -> Sample:
    output = {"text": f"The {thing} is {colour}."}
    return Sample(task="shop.describe", input={"facts": f"{thing}, {colour}"}, output=output)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
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
        prompts={"en": prompt("{{ facts }}")},
        metrics=("chrf", "exact_match"),
        max_reply_tokens=16,
    )


@pytest.fixture(scope="session")
def samples() -> list[Sample]:
    """80 samples, of distinct inputs: the last 16 are held out in `first`."""
    pairs = [(colour, thing) for thing in THINGS for colour in COLOURS]
    return [sample_of(*pairs[(i * 37) % len(pairs)]) for i in range(len(pairs))]


@pytest.fixture(scope="session")
def recipe(tiny_base: Path) -> Recipe:
    return Recipe(
        base=str(tiny_base),
        lora={"rank": 4, "alpha": 8},
        learning_rate=1e-2,
        batch_size=8,
        epochs=4,
        precision="fp32",
        evaluations=2,
    )


@pytest.fixture(scope="session")
def first(task, samples, recipe, tmp_path_factory: pytest.TempPathFactory) -> FineTune:
    """A fine-tune of 16 samples, which more samples improve."""
    from metier.adapt import adapt

    return adapt(task, samples[:16], samples[64:], recipe, tmp_path_factory.mktemp("first") / "run")


@pytest.fixture
def registry(first: FineTune, tmp_path: Path) -> Registry:
    return Registry.create(tmp_path / "registry", first)


@pytest.fixture
def store(tmp_path: Path):
    with FeedbackStore(tmp_path / "feedback.db") as opened:
        yield opened


@pytest.fixture(scope="session")
def bundle(first: FineTune, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a bundle with slots, whose adapter `first` brings the task."""
    from metier.export import export_slots

    return export_slots([first], tmp_path_factory.mktemp("bundle") / "b", names=["first"], precision="fp32").path


@pytest.fixture(scope="session")
def check() -> Check:
    def ends(input, output):
        return [] if output["text"].endswith(".") else [Finding(message="no full stop")]

    facts = {"facts": "mug, blue"}
    return Check("full_stop", ("shop.describe",), ends, (facts, {"text": "A."}), (facts, {"text": "A"}))


def killed_at(moment: float, work: Callable[[Callable[[str], None]], None]) -> list[str]:
    """The lines that `work` sent before its process (forked) was killed, that many seconds after its start."""
    read_end, write_end = os.pipe()
    if (child := os.fork()) == 0:
        with suppress(BaseException):
            work(lambda line: os.write(write_end, f"{line}\n".encode()) and None)
        os._exit(0)
    os.close(write_end)
    time.sleep(moment)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(read_end) as lines:
        return lines.read().split("\n")[:-1]


@pytest.fixture(scope="session")
def killed() -> Callable[[float, Callable[[Callable[[str], None]], None]], list[str]]:
    return killed_at
