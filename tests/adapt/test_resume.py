"""A run killed at any moment resumes and ends where the unbroken run ends; checkpoints are complete or absent."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from metier.adapt import adapt
from metier.bases.resolve import LocalBase
from metier.contracts import Recipe, ResourceError, Sample, TaskContract, UsageError
from metier.training import Progress, checkpoint, journal

TRAIN = """
import sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from metier.adapt import adapt
from metier.training import read_recipe
from metier.bases.resolve import resolve
from metier.contracts import Sample, TaskContract
work, last = Path(sys.argv[1]), int(sys.argv[3])
samples = [Sample.model_validate_json(line) for line in (work / "samples.jsonl").open()]
adapt(
    TaskContract.model_validate_json((work / "task.json").read_text()), samples[:20], samples[20:28],
    read_recipe(work / "recipe.yaml"), work / "run", base=resolve(Path(sys.argv[2])),
    progress=lambda event: time.sleep(0.02 if event.step < last else 600),  # it is killed there, if not before
)
"""


def log_of(run: Path) -> list[dict[str, Any]]:
    path = run / "log.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_a_run_killed_twice_ends_with_the_weights_and_losses_of_the_unbroken_one(
    dropout: float,
    task: TaskContract,
    samples: list[Sample],
    recipe: Recipe,
    local_base: LocalBase,
    tiny_base: Path,
    tmp_path: Path,
) -> None:
    from metier.training import write_recipe

    recipe = recipe.model_copy(
        update={
            "epochs": 12,  # 60 steps of 5 an epoch
            "evaluations": 6,
            "checkpoint_seconds": 0.05,
            "lora": recipe.lora.model_copy(update={"dropout": dropout}),
        }
    )
    unbroken = adapt(task, samples[:20], samples[20:28], recipe, tmp_path / "unbroken", base=local_base)

    (tmp_path / "task.json").write_text(task.model_dump_json())
    (tmp_path / "samples.jsonl").write_text("".join(s.model_dump_json() + "\n" for s in samples))
    write_recipe(tmp_path / "recipe.yaml", recipe)
    run = tmp_path / "run"
    for past in (13, 38):  # both in the middle of an epoch
        process = subprocess.Popen([sys.executable, "-c", TRAIN, str(tmp_path), str(tiny_base), str(past + 20)])
        give_up = time.monotonic() + 120
        while not (log := log_of(run)) or log[-1]["step"] < past:
            assert process.poll() is None and time.monotonic() < give_up, "the run ended before it could be killed"
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait(10) == -signal.SIGKILL
        assert not (run / "card.json").exists()
        saved = checkpoint.load(run / checkpoint.FOLDER)
        assert saved and 0 < saved[1]["state"]["step"] < 60

    events: list[Progress] = []
    resumed = adapt(task, samples[:20], samples[20:28], recipe, run, base=local_base, progress=events.append)
    assert events[0].step > 1, "it must resume, not start again"
    assert resumed.card.weights_sha256 == unbroken.card.weights_sha256
    assert resumed.card.training["train_loss"] == unbroken.card.training["train_loss"]
    assert resumed.card.training["held_out_loss"] == unbroken.card.training["held_out_loss"]

    def curve(path: Path) -> list[tuple[Any, ...]]:
        return [(e["step"], e["loss"], e.get("held_out_loss")) for e in log_of(path)]

    assert curve(run) == curve(unbroken.path)
    assert not (run / checkpoint.FOLDER).exists()


class StopTrainingError(Exception):
    """Ends a run in the middle, in this process."""


def interrupted(out: Path, *args: Any, at: int, **options: Any) -> None:
    def stop(event: Progress) -> None:
        if event.step == at:
            raise StopTrainingError

    with pytest.raises(StopTrainingError):
        adapt(*args, out, progress=stop, **options)


def test_a_checkpoint_of_another_recipe_is_refused_unless_thrown_away(
    task: TaskContract, samples: list[Sample], recipe: Recipe, local_base: LocalBase, tmp_path: Path
) -> None:
    recipe = recipe.model_copy(update={"checkpoint_seconds": 1e-9})
    interrupted(tmp_path, task, samples[:16], (), recipe, at=3, base=local_base)
    other = recipe.model_copy(update={"learning_rate": 1e-4})
    with pytest.raises(UsageError, match="checkpoint of a run with another recipe"):
        adapt(task, samples[:16], (), other, tmp_path, base=local_base)
    assert adapt(task, samples[:16], (), other, tmp_path, base=local_base, resume=False).card.training["steps"] == 8


def test_a_damaged_checkpoint_is_named(
    task: TaskContract, samples: list[Sample], recipe: Recipe, local_base: LocalBase, tmp_path: Path
) -> None:
    recipe = recipe.model_copy(update={"checkpoint_seconds": 1e-9})
    interrupted(tmp_path, task, samples[:16], (), recipe, at=3, base=local_base)
    file = tmp_path / checkpoint.FOLDER / "state.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(UsageError, match=r"state\.safetensors: the checkpoint cannot be read"):
        adapt(task, samples[:16], (), recipe, tmp_path, base=local_base)


def test_a_write_that_fails_half_way_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, {"a": torch.zeros(2)}, {"step": 1})
    with pytest.raises(TypeError):  # a fact that JSON cannot say
        checkpoint.save(tmp_path, {"a": torch.ones(2)}, {"step": object()})
    tensors, facts = checkpoint.load(tmp_path) or ({}, {})
    assert facts == {"step": 1} and tensors["a"].tolist() == [0, 0]
    assert [p.name for p in tmp_path.iterdir()] == ["state.safetensors"]


FULL = """
import resource, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from metier.adapt import adapt
from metier.training import read_recipe
from metier.bases.resolve import resolve
from metier.contracts import MetierError, Sample, TaskContract
work, out, megabytes = Path(sys.argv[1]), Path(sys.argv[3]), int(sys.argv[4])
samples = [Sample.model_validate_json(line) for line in (work / "samples.jsonl").open()]
base, recipe = resolve(Path(sys.argv[2])), read_recipe(work / "recipe.yaml")
task = TaskContract.model_validate_json((work / "task.json").read_text())
if megabytes:  # a first run loads all code, so that the limit leaves room for little more than the model
    adapt(task, samples[:1], (), recipe, out / "first", base=base)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + megabytes * 2**20,) * 2)
try:
    adapt(task, samples[1:21], (), recipe, out, base=base)
except MetierError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on address space is Linux's")
def test_running_out_of_memory_while_training_names_what_to_lower(
    task: TaskContract, samples: list[Sample], recipe: Recipe, tiny_base: Path, tmp_path: Path
) -> None:
    # Nine rows of 450 tokens in one pass keep some 29 MB of attention in each layer.
    recipe = recipe.model_copy(update={"batch_size": 20})
    long = [samples[0], *(s.model_copy(update={"output": {"text": "warm lamp " * 80}}) for s in samples[1:])]
    output = run_full(task, long, recipe, tiny_base, tmp_path, tmp_path / "run", megabytes=16)
    assert output.startswith("ResourceError") and "memory ran out while training" in output, output
    assert "lower batch_size" in output


def test_a_full_disk_is_an_error_and_leaves_no_fine_tune(
    task: TaskContract, samples: list[Sample], recipe: Recipe, tiny_base: Path, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        recipe = recipe.model_copy(update={"checkpoint_seconds": 1e-9})
        output = run_full(task, samples, recipe, tiny_base, tmp_path, small / "run", megabytes=0)
        assert output.startswith("ResourceError") and "the disk is full" in output, output
        assert not (small / "run" / "card.json").exists()
        assert not list((small / "run").rglob("*.part"))
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def run_full(
    task: TaskContract, samples: list[Sample], recipe: Recipe, base: Path, work: Path, out: Path, megabytes: int
) -> str:
    from metier.training import write_recipe

    (work / "task.json").write_text(task.model_dump_json())
    (work / "samples.jsonl").write_text("".join(s.model_dump_json() + "\n" for s in samples))
    write_recipe(work / "recipe.yaml", recipe)
    arguments = [sys.executable, "-c", FULL, str(work), str(base), str(out), str(megabytes)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)
    return done.stdout or done.stderr


def test_more_tokens_than_memory_holds_are_refused_before_training(tiny_base: Path, recipe: Recipe) -> None:
    from transformers import AutoModelForCausalLM

    from metier.training.memory_estimate import tokens_at_once

    model = AutoModelForCausalLM.from_pretrained(tiny_base)
    assert tokens_at_once(model, 1000, recipe, longest=50, free=1 << 30) == 4096
    assert 50 <= tokens_at_once(model, 1000, recipe, longest=50, free=4 << 20) < 4096
    with pytest.raises(ResourceError, match=r"training needs about .* GiB"):
        tokens_at_once(model, 1000, recipe, longest=500, free=1 << 20)


def test_the_log_of_a_killed_run_loses_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        journal.append(tmp_path, Progress(step, 9, 0.1, 1.0, 0.1, 1.0, 1.0, 1.0))
    with (tmp_path / journal.LOG).open("a") as handle:
        handle.write('{"step": 4, "lo')
    journal.keep_until(tmp_path, 2)
    assert [event["step"] for event in log_of(tmp_path)] == [1, 2]
