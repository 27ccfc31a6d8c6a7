"""A bundle is measured through the runtime, beside the fine-tune that it was made from."""

from pathlib import Path

import pytest

from metier.bases import resolve
from metier.contracts import FineTune, Sample, UsageError
from metier.evaluate import EvaluationOptions, evaluate

OUTPUTS = {
    "tiny.copy": {"text": "The mug is blue."},
    "tiny.item": {"name": "mug", "tags": ["blue"]},
    "tiny.mood": {"mood": "sad"},
}
FACTS = ["a blue mug", "an oak lamp", "a cheap desk, Italian, near the city centre", "rain", "warm"]


@pytest.mark.parametrize("name", sorted(OUTPUTS))
def test_an_fp32_bundle_answers_as_the_fine_tune_does_in_torch(
    name: str, tiny_base: Path, tiny_finetune: FineTune, tiny_bundle: Path
) -> None:
    task = next(t for t in tiny_finetune.card.tasks if t.name == name)
    samples = [Sample(task=name, input={"facts": f}, output=OUTPUTS[name]) for f in FACTS]
    evaluation = evaluate(
        task,
        samples,
        base=resolve(tiny_base),
        finetune=tiny_finetune,
        bundle=tiny_bundle,
        options=EvaluationOptions(precision="fp32", resamples=10, general=False, max_tokens=48),
    )
    assert [s.name for s in evaluation.systems] == ["base_zero_shot", "fine_tune", "bundle"]
    assert evaluation.systems[-1].title == "Bundle (fp32)"
    for row in evaluation.rows:
        torch, bundle = row.answers["fine_tune"], row.answers["bundle"]
        assert (bundle.text, bundle.output, bundle.finished) == (torch.text, torch.output, torch.finished)
    assert all(d.interval.value == 0 for m in evaluation.metrics for d in m.differences if d.against == "fine_tune")
    assert evaluation.summary()["bundle"] == evaluation.summary()["after"]


def test_a_bundle_without_the_task_and_a_fine_tune_of_another_base_are_refused_before_any_work(
    tiny_base: Path, tiny_finetune: FineTune, tiny_bundle: Path
) -> None:
    task = tiny_finetune.card.tasks[0].model_copy(update={"name": "tiny.other"})
    samples = [Sample(task="tiny.other", input={"facts": "a"}, output={"text": "b"})]
    events: list[str] = []
    with pytest.raises(UsageError, match=r"tiny\.other"):
        evaluate(
            task, samples, base=resolve(tiny_base), bundle=tiny_bundle, progress=lambda what, *_: events.append(what)
        )
    other = resolve(tiny_base).model_copy(update={"sha256": "f" * 64})
    with pytest.raises(UsageError, match="was trained on"):
        evaluate(task, samples, base=other, finetune=tiny_finetune, progress=lambda what, *_: events.append(what))
    assert events == []


def test_importing_the_room_loads_no_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys, metier.evaluate as e; e.Evaluation, e.evaluate, e.write_html;"
        "print([m for m in ('torch', 'transformers', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
