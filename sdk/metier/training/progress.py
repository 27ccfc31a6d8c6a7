"""What a training run reports after each step."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One finished step of training. Losses in nats per reply token, times in seconds."""

    step: int
    steps: int
    epoch: float
    loss: float
    learning_rate: float
    tokens_per_second: float
    """Tokens of prompts and replies, per second of training steps."""
    seconds: float
    seconds_left: float
    held_out_loss: float | None = None
    """Only on steps that were followed by an evaluation."""
    answers: dict[str, float] | None = None
    """Figures of answers to held-out inputs, where `watch` is given."""
