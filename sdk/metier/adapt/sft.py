"""Supervised fine-tuning on a task's samples, of LoRA weights or the base's own, from samples to a fine-tune folder."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from metier.bases.finetune import load_finetune
from metier.bases.hardware import choose_device, choose_dtype
from metier.bases.resolve import LocalBase, resolve
from metier.bases.torch_model import check_fits, load_torch, take_own_weights
from metier.contracts import FineTune, Recipe, RecipeError, Sample, TaskContract, UsageError, samples_sha256
from metier.contracts.finetune import CARD
from metier.decoding.tokenizer import ChatTokenizer
from metier.training import checkpoint, journal, result
from metier.training.examples import encode_samples
from metier.training.frozen_prefix import Frozen
from metier.training.hidden_state_cache import LIMIT, States
from metier.training.loop import Progress, Training, Watching
from metier.training.lora_setup import add_lora, frozen_layers, layers_of, open_layers, take_up, training_kernels
from metier.training.memory_estimate import tokens_at_once
from metier.training.resource_errors import said_clearly
from metier.training.training_model import Trainee

_LOCK, _STATES = ".lock", ".states"
_HELD_OUT_FOR_LOSS = 64
"""Samples that a held-out loss is taken over, distinct inputs first. More would cost more than they tell: at 240
training samples, 4 evaluations over 64 samples already are a tenth of the run."""


def adapt(
    tasks: TaskContract | Sequence[TaskContract],
    train: Sequence[Sample],
    held_out: Sequence[Sample],
    recipe: Recipe,
    out: str | Path,
    *,
    base: LocalBase | None = None,
    start: FineTune | None = None,
    resume: bool = True,
    progress: Callable[[Progress], None] | None = None,
    device: str = "auto",
    watch: Watching | None = None,
    limit: int = LIMIT,
) -> FineTune:
    """Train LoRA weights (arXiv 2106.09685), or the base's own in the recipe's layers, on the replies of `train`, and
    keep those best on `held_out`.

    A run that was killed goes on from its last checkpoint when called again with the same arguments, and ends with
    the weights that the unbroken run would have had. A finished run is returned as it is.

    Args:
        tasks: the contract, or contracts, that the samples belong to.
        train: samples to learn from.
        held_out: samples to choose the best moment by; empty takes the last.
        recipe: how.
        out: folder of the fine-tune; made if missing.
        base: a base at hand; None resolves the recipe's.
        start: go on from this fine-tune's weights instead of fresh ones. Its LoRA must be the recipe's, and stands in
            the recipe's layers at least: in others it stays as it is. Of `full`, the layers are the recipe's.
        resume: False throws away what `out` holds of an earlier run.
        progress: called after every step.
        device: auto, cpu or cuda.
        watch: asked with the model in training at every evaluation on `held_out`; its figures come with that step and
            stand in log.jsonl, and choose nothing.
        limit: bytes on disk for what frozen layers say of the samples; of those beyond it they are asked anew.

    Raises:
        UsageError: no samples, another task's samples, a start of another base, or `out` belongs to another run or a
            running one.
        DataError: samples too long or off their contract.
        RecipeError: layers or targets that the base has not, or other ones than the start's.
        BaseError: the base cannot be found or read.
        DeviceError: the device asked for is not active.
        ResourceError: memory or disk ran out.
    """
    out = Path(out)
    contracts = {t.name: t for t in ([tasks] if isinstance(tasks, TaskContract) else tasks)}
    if not train:
        raise UsageError("there are no samples to train on", remedy="give at least one")
    with said_clearly(out):
        out.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(out / _LOCK, timeout=0):
                tuned = _adapt(
                    contracts, train, held_out, recipe, out, base, start, resume, progress, device, watch, limit
                )
                with suppress(OSError):  # Windows deletes no open file; a lock file left behind does no harm
                    (out / _LOCK).unlink()
                return tuned
        except Timeout as error:
            raise UsageError(
                "another process is training into this folder", where=str(out), remedy="wait for it, or choose another"
            ) from error


def _adapt(
    contracts: dict[str, TaskContract],
    train: Sequence[Sample],
    held_out: Sequence[Sample],
    recipe: Recipe,
    out: Path,
    base: LocalBase | None,
    start: FineTune | None,
    resume: bool,
    progress: Callable[[Progress], None] | None,
    device: str,
    watch: Watching | None,
    limit: int,
) -> FineTune:
    base = base or resolve(recipe.base)
    hashes = samples_sha256(train), samples_sha256(held_out)
    began = start.card.weights_sha256 if start else None
    run = result.fingerprint(contracts.values(), *hashes, recipe, base.card.sha256, began)
    folder = out / checkpoint.FOLDER
    if not resume:
        checkpoint.remove(folder)
        (out / CARD).unlink(missing_ok=True)
    elif (out / CARD).is_file():
        return _finished(out, run)
    tokenizer = ChatTokenizer.load(base.path)
    longest = min(recipe.max_length, base.card.context_length)
    examples = encode_samples(tokenizer, contracts, train, longest)
    judges = encode_samples(tokenizer, contracts, distinct_first(held_out)[:_HELD_OUT_FOR_LOSS], longest)
    where = choose_device(device)
    dtype = choose_dtype(recipe.precision, where)
    # Weights that learn stay in fp32: bf16 has 8 bits, and most steps of a small rate would round to nothing.
    model = load_torch(base, "float32" if recipe.method == "full" else dtype).to(where)
    if start is not None:
        check_fits(base, start)
    adapted = _learning(model, recipe, base, start)
    adapted.train()
    trainee = Trainee(adapted, tokenizer.pad_id, dtype)
    most = tokens_at_once(model, sum(w.numel() for w in trainee.weights), recipe, max(map(len, [*examples, *judges])))
    with training_kernels(adapted), States(out / _STATES, limit) as states:
        by_length = sorted(examples, key=len)
        probe = [by_length[0], by_length[len(by_length) // 2]]
        trainee.choose_way(probe)
        if frozen := frozen_layers(model, recipe, base.card.id):
            trainee.compute_once(Frozen(layers_of(model, base.card.id), frozen, states), probe)
        training = Training(trainee, examples, judges, recipe, folder, run=run, most_tokens=most, watch=watch)
        journal.keep_until(out, training.state.step)
        for event in training:
            journal.append(out, event)
            if progress:
                progress(event)
    trainee.finish()
    card = result.write(
        out,
        adapted,
        tasks=list(contracts.values()),
        base=base.card,
        recipe=recipe,
        train=train,
        held_out=held_out,
        state=training.state,
        start=began,
    )
    checkpoint.remove(folder)
    return FineTune(path=out, card=card)


def _learning(model: Any, recipe: Recipe, base: LocalBase, start: FineTune | None) -> Any:
    """The model with what of it is to learn, from the start's weights where there is one."""
    if start is not None and start.card.recipe.method != recipe.method:
        raise RecipeError(
            f"the recipe's method is {recipe.method}, and that of {start.card.name} was {start.card.recipe.method}",
            where=str(start.path),
            remedy="take the method of its recipe.yaml, or train from the base",
        )
    if recipe.method == "lora":
        return add_lora(model, recipe, base.card.id) if start is None else take_up(model, recipe, start)
    if start is not None:
        if start.card.recipe.layers != recipe.layers:
            raise RecipeError(
                f"the recipe asks for layers {recipe.layers}, and {start.card.name} has {start.card.recipe.layers}",
                where=str(start.path),
                remedy="take the layers of its recipe.yaml, or train from the base",
            )
        take_own_weights(model, start)
    return open_layers(model, recipe, base.card.id)


def distinct_first(samples: Sequence[Sample]) -> list[Sample]:
    """The first sample of every input, then the second of each, and so on, the tasks taking turns.

    A prefix covers the most inputs, and every task alike.
    """
    seen: Counter[str] = Counter()
    ranks: list[tuple[int, int]] = []
    for sample in samples:
        key = sample.model_dump_json(include={"task", "input", "language"})
        ranks.append((seen[key], seen[sample.task]))
        seen.update((key, sample.task))
    return [sample for _, sample in sorted(zip(ranks, samples, strict=True), key=lambda pair: pair[0])]


def _finished(out: Path, run: str) -> FineTune:
    finetune = load_finetune(out)
    card = finetune.card
    data = card.data
    known = result.fingerprint(
        card.tasks, data.sha256, data.held_out_sha256, card.recipe, card.base.sha256, card.start_sha256
    )
    if known == run:
        return finetune
    raise UsageError(
        f"the folder already holds the fine-tune {card.name}, of another recipe, data or base",
        where=str(out),
        remedy="choose another output folder, or start over without resuming to replace it",
    )
