"""From samples to a fine-tune folder: what it learns, what it holds, and what it refuses."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from metier.adapt import adapt
from metier.adapt.sft import distinct_first
from metier.bases.finetune import load_finetune
from metier.bases.resolve import LocalBase
from metier.bases.torch_model import load_torch
from metier.contracts import DataError, DeviceError, Recipe, Sample, TaskContract, UsageError
from metier.decoding.tokenizer import ChatTokenizer
from metier.training import Progress


def test_a_tiny_set_is_overfitted(
    task: TaskContract, samples: list[Sample], recipe: Recipe, local_base: LocalBase, tmp_path: Path
) -> None:
    recipe = recipe.model_copy(update={"epochs": 60, "learning_rate": 2e-2, "evaluations": 1})
    few = samples[:4]
    tuned = adapt(task, few, few, recipe, tmp_path / "run", base=local_base)
    assert tuned.card.training["held_out_loss"] < 0.05

    from peft import PeftModel

    model = PeftModel.from_pretrained(load_torch(local_base), str(tuned.path)).eval()
    tokenizer = ChatTokenizer.load(local_base.path)
    from metier.prompting.prompt import prompt_ids

    for sample in few:
        ids = torch.tensor([prompt_ids(tokenizer, task, sample.input)])
        out = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=40, do_sample=False, pad_token_id=0
        )
        assert tokenizer.decode(out[0, ids.shape[1] :].tolist()) == sample.output["text"]


def test_the_folder_matches_its_card_and_plain_peft_gives_the_loss_on_the_card(
    task: TaskContract, samples: list[Sample], recipe: Recipe, local_base: LocalBase, tmp_path: Path
) -> None:
    events: list[Progress] = []
    train, held_out = samples[:16], samples[16:24]
    tuned = adapt(task, train, held_out, recipe, tmp_path / "run", base=local_base, progress=events.append)

    assert load_finetune(tuned.path) == tuned
    assert {p.name for p in tuned.path.iterdir()} == {
        *("adapter_model.safetensors", "adapter_config.json", "card.json", "recipe.yaml"),
        *("log.jsonl", "train.jsonl", "held_out.jsonl"),
    }
    assert [e.step for e in events] == list(range(1, 9))
    assert [e.step for e in events if e.held_out_loss is not None] == [4, 8]
    assert [json.loads(line)["step"] for line in (tuned.path / "log.jsonl").open()] == list(range(1, 9))
    assert tuned.card.data.samples == 16 and tuned.card.data.held_out == 8
    assert tuned.card.data.sources == ("shop.csv",) and tuned.card.data.licences == ("CC0-1.0",)
    assert tuned.card.base.sha256 == local_base.sha256
    assert tuned.card.training["held_out_loss"] == min(e.held_out_loss for e in events if e.held_out_loss)

    from peft import PeftModel

    from metier.training.examples import encode_samples

    model = PeftModel.from_pretrained(load_torch(local_base), str(tuned.path)).eval()
    examples = encode_samples(ChatTokenizer.load(local_base.path), {task.name: task}, held_out, 512)
    total, count = 0.0, 0
    for example in examples:  # the definition, one row at a time: labels are -100 before the reply
        ids = torch.tensor([example.prompt + example.reply])
        labels = ids.clone()
        labels[:, : len(example.prompt)] = -100
        with torch.no_grad():
            total += float(model(input_ids=ids, labels=labels).loss) * len(example.reply)
        count += len(example.reply)
    assert tuned.card.training["held_out_loss"] == pytest.approx(total / count, rel=1e-4)


def test_the_weights_kept_are_those_of_the_best_evaluation(
    task: TaskContract, samples: list[Sample], recipe: Recipe, local_base: LocalBase, tmp_path: Path
) -> None:
    # Overfitted on four mugs and lamps, the model soon gets worse at everything else.
    greedy = recipe.model_copy(
        update={"learning_rate": 2e-2, "schedule": "constant", "evaluations": 15, "patience": 2, "epochs": 60}
    )
    events: list[Progress] = []
    tuned = adapt(task, samples[:4], samples[4:12], greedy, tmp_path / "run", base=local_base, progress=events.append)
    losses = {e.step: e.held_out_loss for e in events if e.held_out_loss is not None}
    figures = tuned.card.training
    assert figures["held_out_loss"] == min(losses.values()) == losses[int(figures["best_step"])]
    assert figures["steps"] == figures["best_step"] + 8, "two evaluations without a better loss must end the run"


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    task: TaskContract, samples: list[Sample], recipe: Recipe, local_base: LocalBase, tmp_path: Path
) -> None:
    def weights(name: str, recipe: Recipe) -> str:
        return adapt(task, samples[:8], (), recipe, tmp_path / name, base=local_base).card.weights_sha256

    first = weights("a", recipe)
    torch.rand(3)  # what a host program draws must not matter
    assert weights("b", recipe) == first
    assert weights("c", recipe.model_copy(update={"seed": 1})) != first


def test_training_does_not_disturb_the_hosts_random_numbers(
    task: TaskContract, samples: list[Sample], recipe: Recipe, local_base: LocalBase, tmp_path: Path
) -> None:
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    adapt(task, samples[:8], (), recipe, tmp_path / "run", base=local_base)
    assert torch.equal(torch.rand(2), expected)


def test_a_finished_run_is_returned_unchanged_and_another_recipe_is_refused(
    task: TaskContract, samples: list[Sample], recipe: Recipe, local_base: LocalBase, tmp_path: Path
) -> None:
    def run(recipe: Recipe, **options: Any) -> Any:
        return adapt(task, samples[:8], (), recipe, tmp_path / "run", base=local_base, **options)

    events: list[Progress] = []
    first = run(recipe)
    assert run(recipe, progress=events.append) == first and not events
    other = recipe.model_copy(update={"seed": 3})
    with pytest.raises(UsageError, match="already holds the fine-tune run"):
        run(other)
    assert run(other, resume=False).card.recipe.seed == 3


def test_top_n_trains_the_layers_nearest_the_output_only(
    task: TaskContract, samples: list[Sample], recipe: Recipe, local_base: LocalBase, tmp_path: Path
) -> None:
    from safetensors import safe_open

    top = recipe.model_copy(update={"layers": "top:1"})
    tuned = adapt(task, samples[:8], (), top, tmp_path / "run", base=local_base)
    with safe_open(tuned.path / "adapter_model.safetensors", "pt") as file:
        names = list(file.keys())
    assert len(names) == 7 * 2 and all(".layers.2." in name for name in names)


def test_dropout_trains_and_is_seeded(
    task: TaskContract, samples: list[Sample], recipe: Recipe, local_base: LocalBase, tmp_path: Path
) -> None:
    dropping = recipe.model_copy(update={"lora": recipe.lora.model_copy(update={"dropout": 0.3})})
    a, b, without = (
        adapt(task, samples[:8], (), r, tmp_path / str(i), base=local_base).card.weights_sha256
        for i, r in enumerate((dropping, dropping, recipe))
    )
    assert a == b != without


def test_no_samples_another_tasks_sample_and_a_folder_in_use_are_usage_errors(
    task: TaskContract, samples: list[Sample], recipe: Recipe, local_base: LocalBase, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no samples"):
        adapt(task, [], (), recipe, tmp_path, base=local_base)
    stray = samples[0].model_copy(update={"task": "shop.other"})
    with pytest.raises(UsageError, match=r"shop\.csv:2.*shop\.other"):
        adapt(task, [stray], (), recipe, tmp_path, base=local_base)
    with FileLock(tmp_path / ".lock"), pytest.raises(UsageError, match="another process"):
        adapt(task, samples[:4], (), recipe, tmp_path, base=local_base)


def test_a_sample_longer_than_the_recipe_allows_is_named_with_its_line(
    task: TaskContract, samples: list[Sample], recipe: Recipe, local_base: LocalBase, tmp_path: Path
) -> None:
    long = samples[3].model_copy(update={"output": {"text": "warm " * 600}})
    with pytest.raises(DataError, match=r"1 of 4 samples.*max_length, 512 tokens.*shop\.csv:5 \(\d+ tokens\)"):
        adapt(task, [*samples[:3], long], (), recipe, tmp_path, base=local_base)


def test_a_sample_off_its_contract_is_named_with_its_line(
    task: TaskContract, samples: list[Sample], recipe: Recipe, local_base: LocalBase, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"shop\.csv:3"):
        wrong = samples[1].model_copy(update={"output": {"text": 7}})
        adapt(task, [samples[0], wrong], (), recipe, tmp_path, base=local_base)


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is active here")
def test_requesting_cuda_where_there_is_none_is_an_error(
    task: TaskContract, samples: list[Sample], recipe: Recipe, local_base: LocalBase, tmp_path: Path
) -> None:
    with pytest.raises(DeviceError, match="CUDA is not active in torch"):
        adapt(task, samples[:4], (), recipe, tmp_path, base=local_base, device="cuda")


def test_distinct_inputs_come_before_second_outputs_of_the_same(samples: list[Sample]) -> None:
    a, b = samples[:2]
    again = a.model_copy(update={"output": {"text": "A mug, blue."}})
    assert distinct_first([a, again, b]) == [a, b, again]


def test_tasks_take_turns_so_that_a_prefix_covers_each(samples: list[Sample]) -> None:
    first, second, third = samples[:3]
    other = samples[3].model_copy(update={"task": "shop.name"})
    assert distinct_first([first, second, third, other]) == [first, other, second, third]


def test_naming_the_room_loads_no_torch() -> None:
    code = "import sys, metier.adapt; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


@pytest.mark.slow
def test_the_default_base_learns_from_a_few_samples_within_seconds(
    task: TaskContract, samples: list[Sample], tmp_path: Path
) -> None:
    from metier.bases.resolve import resolve
    from metier.contracts import BaseError

    try:
        base = resolve("smollm2-135m")
    except BaseError as error:
        pytest.skip(f"the default base cannot be had here: {error.what}")
    events: list[Progress] = []
    recipe = Recipe(epochs=3, evaluations=3)
    tuned = adapt(task, samples[:32], samples[32:], recipe, tmp_path / "run", base=base, progress=events.append)
    held_out = [e.held_out_loss for e in events if e.held_out_loss is not None]
    # Below the first loss from the first evaluation on; which of them is the best, rounding decides.
    assert len(held_out) == 3 and max(held_out) < 0.5 < events[0].loss
    assert tuned.card.training["held_out_loss"] == min(held_out)
