"""A head measured beside its base and its bundle: what `metier evaluate` does with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from metier.adapt import adapt
from metier.bases.resolve import resolve
from metier.contracts import Check, Finding, FineTune, Recipe, Sample, TaskContract, UsageError
from metier.evaluate import Evaluation, EvaluationOptions, evaluate, record_metrics, write_html, write_json
from metier.evaluate.report import headline
from metier.heads import export_heads

Kinds = dict[str, tuple[TaskContract, list[Sample]]]
Maker = Callable[..., FineTune]


def measured(
    finetune: FineTune, held_out: list[Sample], base: Path, few_shot: int = 4, **options: object
) -> Evaluation:
    local = resolve(base)
    return evaluate(
        finetune.card.tasks[0],
        held_out,
        base=local,
        finetune=finetune,
        options=EvaluationOptions(few_shot=few_shot, resamples=50),
        **options,
    )


def test_a_trained_head_on_a_decoder_is_compared_with_its_base_generating(
    kinds: Kinds, tiny_base: Path, tmp_path: Path
) -> None:
    task, samples = kinds["sort"]
    epochs = {"epochs": 25, "learning_rate": 1e-2}  # fully trained, or an interval over 12 inputs is a wide one
    recipe = Recipe(base=str(tiny_base), produces="head", method="features", layers="embedding", head=epochs)
    tuned = adapt(task, samples[:36], samples[36:], recipe, tmp_path / "run")
    evaluation = measured(tuned, samples[36:], tiny_base, train=samples[:36])
    assert [system.name for system in evaluation.systems] == ["base_zero_shot", "base_few_shot", "fine_tune"]
    assert (
        evaluation.systems[-1].title == "Fine-tune (head)"
        and evaluation.systems[-1].detail == "run, a head over the frozen base"
    )
    assert evaluation.systems[-1].tokens == 0 < evaluation.systems[0].tokens
    accuracy = evaluation.metric("accuracy")
    assert accuracy.values["fine_tune"].low > accuracy.values["base_zero_shot"].high
    assert evaluation.forgetting is None, "a frozen base forgets nothing"
    card = json.loads((record_metrics(tuned, evaluation).path / "card.json").read_text())["metrics"]["tiny.sort"]
    assert card["after"]["accuracy"]["value"] == accuracy.values["fine_tune"].value
    assert "before" in card and "general_perplexity" not in card
    page = write_html(evaluation, tmp_path / "report.html").read_text()
    assert "the base is frozen" in page and "Fine-tune (head)" in page


def test_on_an_encoder_which_writes_nothing_the_head_and_its_bundle_stand_beside_the_most_frequent_label(
    kinds: Kinds, heads: dict[str, FineTune], shipped: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    for kind, tuned in heads.items():
        task, samples = kinds[kind]
        evaluation = measured(tuned, samples, tiny_encoder, bundle=shipped, train=samples)
        plain = [] if kind == "find" else ["most_frequent"]
        assert [system.name for system in evaluation.systems] == [*plain, "fine_tune", "bundle"]
        if plain:
            label = max(task.labels, key=[next(iter(s.output.values())) for s in samples].count)
            assert {row.answers["most_frequent"].text for row in evaluation.rows} == {label}
            assert "against most frequent answer" in headline(evaluation)
        for row in evaluation.rows:
            assert row.answers["fine_tune"].output == row.answers["bundle"].output is not None
        assert evaluation.summary()["after"] == evaluation.summary()["bundle"] and evaluation.few_shot == 0
        assert Evaluation.model_validate_json(write_json(evaluation, tmp_path / "told.json").read_text()) == evaluation
        assert "Greedy decoding" not in write_html(evaluation, tmp_path / "report.html").read_text()


def test_a_decoder_without_a_chat_template_cannot_be_prompted_but_its_head_is_measured(
    kinds: Kinds, make_head: Maker, tiny_base: Path, tmp_path: Path
) -> None:
    bare = Path(shutil.copytree(tiny_base, tmp_path / "bare"))
    (bare / "chat_template.jinja").unlink()
    evaluation = measured(make_head("sort", bare, tmp_path / "sort"), kinds["sort"][1], bare, train=kinds["sort"][1])
    assert [system.name for system in evaluation.systems] == ["most_frequent", "fine_tune"]


def test_a_jointly_trained_head_is_evaluated_too(
    kinds: Kinds, make_head: Maker, tiny_base: Path, tmp_path: Path
) -> None:
    tuned = make_head("find", tiny_base, tmp_path / "find", "lora")
    bundle = export_heads([tuned], tmp_path / "bundle", precision="fp32").path
    evaluation = measured(tuned, kinds["find"][1][:8], tiny_base, bundle=bundle, few_shot=0)
    assert [system.name for system in evaluation.systems] == ["base_zero_shot", "fine_tune", "bundle"]
    assert evaluation.systems[1].detail == "find, a head and LoRA of rank 2, trained together"
    assert all(row.answers["fine_tune"].output == row.answers["bundle"].output for row in evaluation.rows)
    assert evaluation.forgetting is None


def test_a_bundle_with_several_heads_of_a_task_answers_by_the_one_that_is_measured(
    kinds: Kinds, make_head: Maker, tiny_encoder: Path, tmp_path: Path
) -> None:
    one = make_head("sort", tiny_encoder, tmp_path / "one")
    other = make_head("sort", tiny_encoder, tmp_path / "other", layers="mix")
    bundle = export_heads([one, other], tmp_path / "bundle", precision="fp32").path
    for tuned in (one, other):
        evaluation = measured(tuned, kinds["sort"][1], tiny_encoder, bundle=bundle)
        assert all(row.answers["fine_tune"].output == row.answers["bundle"].output for row in evaluation.rows)
    with pytest.raises(UsageError, match=r"2 adapters or heads were trained for tiny\.sort"):
        evaluate(kinds["sort"][0], kinds["sort"][1], base=resolve(tiny_encoder), bundle=bundle)


def test_checks_find_in_a_head_s_answers_what_they_find_in_any(
    kinds: Kinds, heads: dict[str, FineTune], shipped: Path, tiny_encoder: Path
) -> None:
    def no_tools(input: object, output: dict[str, str]) -> list[Finding]:
        return [Finding(message="a tool")] if output["kind"] == "a tool" else []

    given = {"text": "he has it"}
    check = Check("no_tools", ("tiny.sort",), no_tools, (given, {"kind": "a fruit"}), (given, {"kind": "a tool"}))
    evaluation = measured(heads["sort"], kinds["sort"][1], tiny_encoder, bundle=shipped, checks=[check])
    tools = sum(row.answers["fine_tune"].output == {"kind": "a tool"} for row in evaluation.rows)
    assert 0 < tools < len(evaluation.rows)
    for system in ("fine_tune", "bundle"):
        assert evaluation.metric("check.no_tools").values[system].value == pytest.approx(
            100 * (1 - tools / len(evaluation.rows))
        )


def test_an_encoder_without_a_fine_tune_is_refused_before_it_is_loaded(kinds: Kinds, tiny_encoder: Path) -> None:
    task, samples = kinds["sort"]
    with pytest.raises(UsageError, match="cannot generate text, and there is no other system to evaluate"):
        evaluate(task, samples, base=resolve(tiny_encoder))
