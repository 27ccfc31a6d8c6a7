"""Order of samples, learning rate and evaluations of every step, from the recipe alone.

Nothing here has state, so a run that resumes at step k does what the unbroken run would have done.
"""

import math
from collections.abc import Sequence

import numpy as np

from metier.contracts import Recipe


def batches(recipe: Recipe, tasks: Sequence[str]) -> list[list[int]]:
    """Indices of the samples of every optimiser step: each epoch its own seeded order, its last batch as it falls.

    A batch holds samples of one task, and an epoch shuffles the batches of all tasks (MT-DNN, arXiv 1901.11504). So
    each task has steps in proportion to its samples, and the mean over a batch's reply tokens is one task's: in a mixed
    batch a label of two tokens would count for nothing beside a reply of eighty.

    Args:
        recipe: batch size, epochs and seed.
        tasks: the task of each sample.
    """
    of_task: dict[str, list[int]] = {}
    for index, task in enumerate(tasks):
        of_task.setdefault(task, []).append(index)
    order: list[list[int]] = []
    per_epoch = sum(math.ceil(len(indices) / recipe.batch_size) for indices in of_task.values())
    for epoch in range(math.ceil(recipe.epochs)):
        random = np.random.default_rng([recipe.seed, epoch])
        found: list[list[int]] = []
        for indices in of_task.values():
            shuffled = [indices[i] for i in random.permutation(len(indices))]
            found += [shuffled[i : i + recipe.batch_size] for i in range(0, len(shuffled), recipe.batch_size)]
        order += found if len(of_task) == 1 else [found[i] for i in random.permutation(len(found))]
    return order[: max(1, round(recipe.epochs * per_epoch))]


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Learning rate of step 0 … steps-1: a linear warm-up, then constant, or decayed to zero after the last step."""
    warm = int(recipe.warmup_ratio * steps)
    if step < warm:
        return recipe.learning_rate * (step + 1) / (warm + 1)
    done = (step - warm) / max(1, steps - warm)
    shape = {"constant": 1.0, "linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}
    return recipe.learning_rate * shape[recipe.schedule]


def evaluation_steps(recipe: Recipe, steps: int) -> frozenset[int]:
    """Numbers of finished steps after which the held-out loss is taken: evenly spaced, the last among them."""
    return frozenset(max(1, round(steps * k / recipe.evaluations)) for k in range(1, recipe.evaluations + 1))
