"""When a run is watched. It does not know by whom."""

WATCHES = 4
"""A run: as many as a fine-tuning has evaluations unless asked otherwise (`Recipe.evaluations`)."""


def moments(steps: int) -> frozenset[int]:
    """Numbers of finished steps, or updates, after which a run is watched: evenly spaced, the last among them."""
    return frozenset(max(1, round(steps * k / WATCHES)) for k in range(1, WATCHES + 1))
