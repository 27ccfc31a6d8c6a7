"""Adaptation against TRL's SFTTrainer at one recipe, and what each speed-up brings: one run, step by step in turns.

    python tests/benchmarks/adapt.py --json            # tokens/s, seconds to the same held-out loss
    python tests/benchmarks/adapt.py --json --ablation  # each speed-up switched off in turn, median step

Turns matter: another program on the machine slows both alike. Data: the E2E development set (mr, ref), not in the
repository; give its path with --data. A meaning representation is in training or held out, never in both.
"""

import argparse
import csv
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from peft.tuners.lora import Linear as LoraLinear
from pydantic import BaseModel

from metier.bases.hardware import choose_device, choose_dtype
from metier.bases.resolve import LocalBase, resolve
from metier.bases.torch_model import load_torch
from metier.contracts import Recipe, Sample, TaskContract, TaskKind, prompt
from metier.decoding.tokenizer import ChatTokenizer
from metier.training import packed_attention
from metier.training.examples import Example, encode_samples
from metier.training.loop import Training
from metier.training.lora_setup import add_lora, training_kernels
from metier.training.training_model import TrainingModel, mean_loss

HELD_OUT = 60
CHECKS = 8
"""Held-out losses along a run, for the seconds to the same loss."""


class Facts(BaseModel):
    facts: str


class Text(BaseModel):
    text: str


TASK = TaskContract(
    name="e2e.describe",
    kind=TaskKind.GENERATE,
    input=Facts,
    output=Text,
    prompts={"en": prompt("{{ facts }}", "Write ad copy that states every fact and adds none.")},
)


def read_data(path: Path, count: int, seed: int) -> tuple[list[Sample], list[Sample]]:
    """`count` training samples and one held-out sample for each of 60 other meaning representations."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(row["mr"], row["ref"]) for row in csv.DictReader(file)]
    first = dict(reversed(rows))
    names = sorted(first)
    random.Random(seed).shuffle(names)
    picked = [Sample(task=TASK.name, input={"facts": n}, output={"text": first[n]}) for n in names]
    return picked[HELD_OUT : HELD_OUT + count], picked[:HELD_OUT]


def make_trainee(base: LocalBase, recipe: Recipe, tokenizer: ChatTokenizer) -> TrainingModel:
    device = choose_device("auto")
    model = load_torch(base, choose_dtype(recipe.precision, device)).to(device)
    adapted = add_lora(model, recipe, base.card.id)
    adapted.train()
    return TrainingModel(adapted, tokenizer.pad_id)


def steps_of(training_model: TrainingModel, examples: list[Example], recipe: Recipe) -> Iterator[Any]:
    """Our loop without evaluations or checkpoints; kernels stay in for as long as it is iterated."""
    folder = Path(tempfile.gettempdir()) / "metier-benchmark-has-no-checkpoint"
    with training_kernels(training_model.adapted):
        training_model.choose_layout(sorted(examples, key=len)[:: len(examples) // 2][:2])
        yield from Training(training_model, examples, [], recipe, folder, run="", most_tokens=4096)


class Clock:
    """Seconds of training and the held-out losses along it."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.losses: list[tuple[float, float]] = []

    def seconds_to(self, loss: float) -> float | None:
        return next((seconds for seconds, reached in self.losses if reached <= loss), None)


def against_trl(
    base: LocalBase, examples: list[Example], held_out: list[Example], recipe: Recipe, limit: int
) -> dict[str, Any]:
    """Both train the same examples under one recipe; after each of TRL's steps we take one of ours."""
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    tokenizer = ChatTokenizer.load(base.path)
    mine, theirs = make_trainee(base, recipe, tokenizer), make_trainee(base, recipe, tokenizer)
    ours = steps_of(mine, examples, recipe)
    clocks = {"metier": Clock(), "trl": Clock()}
    total = -(-len(examples) // recipe.batch_size) * int(recipe.epochs)
    every = max(1, (limit or total) // CHECKS)

    class Turns(TrainerCallback):
        def on_train_begin(self, *args: Any, **options: Any) -> None:
            self.started = time.perf_counter()

        def on_step_end(self, args: Any, state: Any, control: Any, **options: Any) -> Any:
            clocks["trl"].steps.append(time.perf_counter() - self.started)
            started = time.perf_counter()
            next(ours)
            clocks["metier"].steps.append(time.perf_counter() - started)
            if state.global_step % every == 0:
                for name, training_model in (("metier", mine), ("trl", theirs)):
                    training_model.adapted.eval()
                    loss = mean_loss(training_model, held_out, recipe.batch_size)
                    training_model.adapted.train()
                    clocks[name].losses.append((sum(clocks[name].steps), loss))
            control.should_training_stop = bool(limit) and state.global_step >= limit
            self.started = time.perf_counter()
            return control

    rows = [
        {"input_ids": [*e.prompt, *e.reply], "completion_mask": [0] * len(e.prompt) + [1] * len(e.reply)}
        for e in examples
    ]
    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=theirs.adapted,
            args=SFTConfig(
                output_dir=folder,
                num_train_epochs=recipe.epochs,
                per_device_train_batch_size=recipe.batch_size,
                learning_rate=recipe.learning_rate,
                lr_scheduler_type="linear",
                warmup_steps=int(recipe.warmup_ratio * total),
                weight_decay=recipe.weight_decay,
                max_grad_norm=recipe.max_grad_norm,
                use_cpu=theirs.device.type == "cpu",
                bf16=theirs.dtype == torch.bfloat16,
                gradient_checkpointing=False,  # its default trades speed for memory that is not short here
                completion_only_loss=True,
                max_length=recipe.max_length,
                seed=recipe.seed,
                report_to=[],
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
                dataloader_pin_memory=False,
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(base.path),
            callbacks=[Turns()],
        )
        trainer.train()
    tokens = sum(map(len, examples)) / -(-len(examples) // recipe.batch_size)
    target = max(min(loss for _, loss in clock.losses) for clock in clocks.values())
    return {
        "target_held_out_loss": round(target, 4),
        **{
            name: {
                "seconds": round(sum(clock.steps), 1),
                "median_step_seconds": round(statistics.median(clock.steps), 3),
                "tokens_per_second": round(tokens * len(clock.steps) / sum(clock.steps)),
                "seconds_to_target": round(clock.seconds_to(target) or 0, 1),
                "held_out_losses": [[round(s, 1), round(x, 4)] for s, x in clock.losses],
            }
            for name, clock in clocks.items()
        },
    }


def without_lora_kernel(training_model: TrainingModel) -> None:
    for module in training_model.adapted.modules():
        if isinstance(module, LoraLinear) and "forward" in vars(module):
            del module.forward


def without_norm_kernel(training_model: TrainingModel) -> None:
    for module in training_model.adapted.modules():
        if not isinstance(module, LoraLinear) and "forward" in vars(module):
            del module.forward


def without_packing(training_model: TrainingModel) -> None:
    training_model.packed = False
    training_model.finish()


class FusedAttention:
    """torch's own fused kernel in the place of our plain products."""

    @staticmethod
    def apply(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor, scale: float) -> torch.Tensor:
        return torch.nn.functional.scaled_dot_product_attention(q[None], k[None], v[None], mask, scale=scale)[0]


Off = tuple[dict[str, Any], Callable[[TrainingModel], None] | None, Callable[[], AbstractContextManager[Any]]]
"""Changes of the recipe, of the training_model once, and around every step."""

VARIANTS: dict[str, Off] = {
    "all": ({}, None, nullcontext),
    "without shared prefix": ({}, None, lambda: patch("metier.training.packing.common_prefix", lambda rows: 0)),
    "with torch's fused attention": ({}, None, lambda: patch.object(packed_attention, "_Attend", FusedAttention)),
    "without LoRA kernel": ({}, without_lora_kernel, nullcontext),
    "without norm kernel": ({}, without_norm_kernel, nullcontext),
    "padded, logits of all tokens": ({}, without_packing, nullcontext),
    "fp32": ({"precision": "fp32"}, None, nullcontext),
}


def ablation(base: LocalBase, examples: list[Example], recipe: Recipe, steps: int) -> dict[str, Any]:
    """Median and fastest step of our loop with each speed-up switched off, one step of each in turn."""
    tokenizer = ChatTokenizer.load(base.path)
    seconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    cpu_seconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    runs = {}
    for name, (change, _, _) in VARIANTS.items():
        varied = recipe.model_copy(update=change)
        training_model = make_trainee(base, varied, tokenizer)
        runs[name] = training_model, steps_of(training_model, examples, varied)
    for step in range(steps + 1):
        for name, (_, change_trainee, around) in VARIANTS.items():
            training_model, run = runs[name]
            started, cpu_started = time.perf_counter(), time.process_time()
            with around():
                next(run)
            if step:  # the first step warms caches, and is when kernels are put in
                seconds[name].append(time.perf_counter() - started)
                cpu_seconds[name].append(time.process_time() - cpu_started)
            elif change_trainee:
                change_trainee(training_model)
    return {
        name: {
            "median_step_seconds": round(statistics.median(seconds[name]), 3),
            "fastest_step_seconds": round(min(seconds[name]), 3),
            "fastest_step_cpu_seconds": round(min(cpu_seconds[name]), 3),
        }
        for name in VARIANTS
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/e2e/devset.csv"))
    parser.add_argument("--base", default="smollm2-135m", help="name or folder")
    parser.add_argument("--samples", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=0, help="stop after so many; 0 runs the whole recipe")
    parser.add_argument("--ablation", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    recipe = Recipe(seed=options.seed)
    path = Path(options.base)
    base = resolve(path if path.is_dir() else options.base)
    tokenizer = ChatTokenizer.load(base.path)
    data = read_data(options.data, options.samples, options.seed)
    train, held_out = (encode_samples(tokenizer, {TASK.name: TASK}, part, recipe.max_length) for part in data)
    result: dict[str, Any] = {
        "machine": {"threads": torch.get_num_threads(), "cuda": torch.cuda.is_available(), "torch": torch.__version__},
        "base": base.card.model_class,
        "recipe": recipe.model_dump(mode="json"),
        "tokens_per_epoch": sum(map(len, train)),
    }
    if options.ablation:
        result["ablation"] = ablation(base, train, recipe, options.steps or 8)
    else:
        result["sft"] = against_trl(base, train, held_out, recipe, options.steps)
    print(json.dumps(result) if options.json else json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
