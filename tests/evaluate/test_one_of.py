"""An evaluation decodes as the engine does: each answer within the list that came with its own input."""

from __future__ import annotations

from pathlib import Path

from metier.bases import resolve
from metier.contracts import Sample
from metier.evaluate import EvaluationOptions, evaluate


def test_every_answer_of_base_and_fine_tune_is_from_its_own_list(tiny_player, tiny_base: Path) -> None:
    # Lengths out of order: answers are decoded by length, and each must still meet its own list.
    held_out = [
        Sample(
            task="tiny.act",
            input={"facts": "rain " * n, "actions": [f"go {n}", f"stay {n}"]},
            output={"action": f"go {n}"},
        )
        for n in (3, 1, 4, 2)
    ]
    (act,) = tiny_player.card.tasks
    evaluation = evaluate(
        act,
        held_out,
        base=resolve(tiny_base),
        finetune=tiny_player,
        options=EvaluationOptions(few_shot=0, resamples=20),
    )
    answers = [(row.input["actions"], answer.output) for row in evaluation.rows for answer in row.answers.values()]
    assert len(answers) == 8
    assert all(output is not None and output["action"] in actions for actions, output in answers)
