"""Supervised fine-tuning on a task's samples, of LoRA weights or the base's own, from samples to a fine-tune folder."""

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from metier.bases.hardware import choose_device, choose_dtype
from metier.bases.resolve import LocalBase
from metier.bases.torch_model import check_fits, load_torch, take_own_weights
from metier.contracts import FineTune, Recipe, RecipeError, Sample
from metier.decoding.tokenizer import ChatTokenizer
from metier.training import checkpoint, journal, result
from metier.training.examples import Example, encode_samples
from metier.training.frozen_prefix import FrozenPrefix
from metier.training.hidden_state_cache import HiddenStateCache
from metier.training.loop import State, Training
from metier.training.lora_setup import add_lora, frozen_layers, layers_of, load_lora, open_layers, training_kernels
from metier.training.memory_estimate import tokens_at_once
from metier.training.run import TrainingRun
from metier.training.training_model import TrainingModel

_CACHE = ".states"
_HELD_OUT_FOR_LOSS = 64
"""Samples that a held-out loss is taken over, distinct inputs first. More would cost more than they show: at 240
training samples, 4 evaluations over 64 samples already are a tenth of the run."""


def train_text(run: TrainingRun) -> FineTune:
    """Train on the replies of the samples, keep the weights that are best on the held-out ones, and write the folder.

    See `metier.adapt.adapt` for the arguments and errors.
    """
    with run.locked():
        base = run.local_base()
        fingerprint = run.fingerprint(base)
        if (finished := run.finished(fingerprint)) is not None:
            return finished
        tokenizer = ChatTokenizer.load(base.path)
        longest = min(run.recipe.max_length, base.card.context_length)
        examples = encode_samples(tokenizer, run.tasks, run.train, longest)
        held_out = encode_samples(tokenizer, run.tasks, distinct_first(run.held_out)[:_HELD_OUT_FOR_LOSS], longest)
        adapted, state = _trained(run, base, tokenizer, examples, held_out, fingerprint)
        card = result.write(
            run.out,
            adapted,
            tasks=list(run.tasks.values()),
            base=base.card,
            recipe=run.recipe,
            train=run.train,
            held_out=run.held_out,
            state=state,
            start=run.start.card.weights_sha256 if run.start else None,
        )
        checkpoint.remove(run.checkpoints)
        return FineTune(path=run.out, card=card)


def _trained(
    run: TrainingRun,
    base: LocalBase,
    tokenizer: ChatTokenizer,
    examples: list[Example],
    held_out: list[Example],
    fingerprint: str,
) -> tuple[Any, State]:
    """The trained model, and what its run has come to."""
    recipe, device = run.recipe, choose_device(run.device)
    dtype = choose_dtype(recipe.precision, device)
    # Trained weights stay in fp32: bf16 has 8 bits, and most steps of a small rate would round to nothing.
    model = load_torch(base, "float32" if recipe.method == "full" else dtype).to(device)
    if run.start is not None:
        check_fits(base, run.start)
    adapted = _trainable(model, recipe, base, run.start)
    adapted.train()
    training_model = TrainingModel(adapted, tokenizer.pad_id, dtype)
    trained = sum(weight.numel() for weight in training_model.weights)
    most_tokens = tokens_at_once(model, trained, recipe, max(map(len, [*examples, *held_out])))
    with ExitStack() as stack:
        stack.enter_context(training_kernels(adapted))
        cache = stack.enter_context(HiddenStateCache(run.out / _CACHE, run.limit))
        by_length = sorted(examples, key=len)
        probe = [by_length[0], by_length[len(by_length) // 2]]
        training_model.choose_layout(probe)
        if frozen := frozen_layers(model, recipe, base.card.id):
            training_model.reuse_frozen(FrozenPrefix(layers_of(model, base.card.id), frozen, cache), probe)
        training = Training(
            training_model,
            examples,
            held_out,
            recipe,
            run.checkpoints,
            run=fingerprint,
            most_tokens=most_tokens,
            watch=run.watch,
        )
        journal.keep_until(run.out, training.state.step)
        for event in training:
            journal.append(run.out, event)
            run.report(event)
    training_model.finish()
    return adapted, training.state


def _trainable(model: Any, recipe: Recipe, base: LocalBase, start: FineTune | None) -> Any:
    """The model with the weights that are trained, from the start's where there is one."""
    if start is not None and start.card.recipe.method != recipe.method:
        raise RecipeError(
            f"the recipe's method is {recipe.method}, and that of {start.card.name} was {start.card.recipe.method}",
            where=str(start.path),
            remedy="take the method of its recipe.yaml, or train from the base",
        )
    if recipe.method == "lora":
        return add_lora(model, recipe, base.card.id) if start is None else load_lora(model, recipe, start)
    if start is not None:
        if start.card.recipe.layers != recipe.layers:
            raise RecipeError(
                f"the recipe names layers {recipe.layers}, and {start.card.name} has {start.card.recipe.layers}",
                where=str(start.path),
                remedy="take the layers of its recipe.yaml, or train from the base",
            )
        take_own_weights(model, start)
    return open_layers(model, recipe, base.card.id)


def distinct_first(samples: Sequence[Sample]) -> list[Sample]:
    """The first sample of every input, then the second of each, and so on, the tasks in turn.

    A prefix covers the most inputs, and every task alike.
    """
    seen: Counter[str] = Counter()
    ranks: list[tuple[int, int]] = []
    for sample in samples:
        key = sample.model_dump_json(include={"task", "input", "language"})
        ranks.append((seen[key], seen[sample.task]))
        seen.update((key, sample.task))
    return [sample for _, sample in sorted(zip(ranks, samples, strict=True), key=lambda pair: pair[0])]
