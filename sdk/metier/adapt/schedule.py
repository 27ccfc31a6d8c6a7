"""What happens at which step, from the recipe alone: order of samples, learning rate, evaluations.

Nothing here has state, so a run that resumes at step k does what the unbroken run would have done.
"""

import math

import numpy as np

from metier.contracts import Recipe


def batches(recipe: Recipe, count: int) -> list[list[int]]:
    """Indices of the samples of every optimiser step: each epoch its own seeded order, its last batch as it falls."""
    per_epoch = math.ceil(count / recipe.batch_size)
    order: list[list[int]] = []
    for epoch in range(math.ceil(recipe.epochs)):
        shuffled = np.random.default_rng([recipe.seed, epoch]).permutation(count).tolist()
        order += [shuffled[i : i + recipe.batch_size] for i in range(0, count, recipe.batch_size)]
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
