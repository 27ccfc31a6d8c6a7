"""Method full: the base's own weights learn, in the layers that the recipe names; saved, loaded, and exported whole."""

from pathlib import Path

import pytest
import torch

from metier.adapt import adapt
from metier.bases import load_finetune
from metier.bases.resolve import LocalBase
from metier.bases.torch_model import load_adapted, load_torch
from metier.contracts import DataError, FineTune, Recipe, RecipeError, Sample, TaskContract, UsageError
from metier.contracts.finetune import OWN_WEIGHTS
from metier.training import Progress


@pytest.fixture
def full(recipe: Recipe) -> Recipe:
    return recipe.model_copy(update={"method": "full", "learning_rate": 1e-3})


def saved(finetune: FineTune) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(finetune.path / OWN_WEIGHTS)


def learn(
    task: TaskContract, samples: list[Sample], recipe: Recipe, base: LocalBase, out: Path
) -> tuple[FineTune, list[float]]:
    losses: list[float] = []
    return adapt(task, samples, [], recipe, out, base=base, progress=lambda event: losses.append(event.loss)), losses


@pytest.mark.parametrize(
    ("layers", "parts"),
    [
        ("all", {"embed_tokens", "layers.0", "layers.1", "layers.2", "model.norm"}),
        ("top:1", {"layers.2"}),
        ("1,3", {"layers.0", "layers.2"}),
        ("embedding", {"embed_tokens"}),
    ],
)
def test_the_chosen_layers_learn_the_task_and_no_others_change(
    layers: str, parts: set[str], task, samples, full, local_base, tmp_path: Path
) -> None:
    varied_recipe = full.model_copy(update={"layers": layers, "epochs": 10})
    tuned, losses = learn(task, samples[:16], varied_recipe, local_base, tmp_path / "run")
    assert losses[-1] < 0.9 * losses[0]
    names = set(saved(tuned))
    assert {part for part in parts if any(part in name for name in names)} == parts
    assert all(any(part in name for part in parts) for name in names)
    before, after = (
        load_torch(local_base).state_dict(),
        load_adapted(local_base, load_finetune(tuned.path)).state_dict(),
    )
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    # Input and output embedding are one matrix here, which learns as a whole.
    assert changed - {"lm_head.weight"} <= names and len(changed) > len(names) / 2
    assert not (tuned.path / "adapter_model.safetensors").exists()


def test_products_in_bf16_over_fp32_weights_learn_as_those_in_fp32(
    task, samples, full, local_base, tmp_path: Path
) -> None:
    exact, rounded = (full.model_copy(update={"precision": p}) for p in ("fp32", "bf16"))
    _, one = learn(task, samples[:16], exact, local_base, tmp_path / "fp32")
    tuned, other = learn(task, samples[:16], rounded, local_base, tmp_path / "bf16")
    assert one == pytest.approx(other, rel=0.1)
    assert all(torch.isfinite(weight).all() for weight in saved(tuned).values())


def test_a_broken_run_ends_with_the_weights_of_an_unbroken_one(task, samples, full, local_base, tmp_path: Path) -> None:
    varied_recipe = full.model_copy(update={"checkpoint_seconds": 1e-6, "layers": "top:2"})
    whole, _ = learn(task, samples[:16], varied_recipe, local_base, tmp_path / "whole")

    def stop(event: Progress) -> None:
        if event.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adapt(task, samples[:16], [], varied_recipe, tmp_path / "run", base=local_base, progress=stop)
    resumed, losses = learn(task, samples[:16], varied_recipe, local_base, tmp_path / "run")
    assert len(losses) == 4 and resumed.card.weights_sha256 == whole.card.weights_sha256


def test_training_continues_only_from_weights_of_the_same_layers(
    task, samples, full, local_base, tmp_path: Path
) -> None:
    varied_recipe = full.model_copy(update={"layers": "top:1", "epochs": 4})
    first, losses = learn(task, samples[:16], varied_recipe, local_base, tmp_path / "first")
    again: list[float] = []
    adapt(
        task, samples[:16], [], varied_recipe, tmp_path / "on", base=local_base, start=first,
        progress=lambda event: again.append(event.loss),
    )  # fmt: skip
    assert again[0] < 0.95 * losses[0]
    for other, message in (({"layers": "top:2"}, "names layers top:2"), ({"method": "lora"}, "method is lora")):
        with pytest.raises(RecipeError, match=message):
            adapt(
                task,
                samples[:16],
                [],
                varied_recipe.model_copy(update=other),
                tmp_path / "x",
                base=local_base,
                start=first,
            )


def test_it_is_a_graph_of_its_own_proved_against_torch_and_fits_no_slot(
    task, samples, full, local_base, tmp_path: Path
) -> None:
    from metier.export import export, export_slots

    tuned = adapt(task, samples[:16], samples[16:20], full, tmp_path / "run", base=local_base)
    bundle = export(tuned, tmp_path / "bundle", precision="fp32", base=local_base)
    assert bundle.manifest.parity is not None and bundle.manifest.parity.max_abs < 1e-3
    with pytest.raises(UsageError, match="no LoRA"):
        export_slots([tuned], tmp_path / "slots", precision="fp32", base=local_base)


def test_damage_and_another_base_are_seen(task, samples, full, local_base, tmp_path: Path) -> None:
    from conftest import make_tiny_base
    from metier.bases.resolve import resolve

    tuned = adapt(task, samples[:8], [], full, tmp_path / "run", base=local_base)
    with pytest.raises(UsageError, match="was trained on"):
        load_adapted(resolve(make_tiny_base(tmp_path / "other", seed=1)), tuned)
    path = tuned.path / OWN_WEIGHTS
    path.write_bytes(path.read_bytes()[:-8] + bytes(8))
    with pytest.raises(DataError, match="its sha256 is not the one in the card"):
        load_finetune(tuned.path)
