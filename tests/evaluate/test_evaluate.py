"""The evaluation end to end, with a tiny random base and a random LoRA on it."""

import json
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel

from metier.bases import LocalBase, load_finetune, resolve
from metier.bases.checksum import sha256_of
from metier.bases.finetune import write_card
from metier.contracts import (
    Check,
    ContractError,
    DataSummary,
    DeviceError,
    Finding,
    FineTune,
    FineTuneCard,
    Recipe,
    Sample,
    TaskContract,
    UsageError,
    prompt,
)
from metier.evaluate import Evaluation, EvaluationOptions, evaluate, record_metrics


class Facts(BaseModel):
    facts: str


class Copy(BaseModel):
    text: str


class Mood(BaseModel):
    mood: Literal["glad", "sad", "angry"]


TASK = TaskContract(
    name="demo.describe",
    kind="generate",
    input=Facts,
    output=Copy,
    prompts={"en": prompt("Describe: {{ facts }}"), "zh": prompt("描述:{{ facts }}")},
    max_reply_tokens=16,
)
OPTIONS = EvaluationOptions(few_shot=3, resamples=50)

BRIEF = Check(
    "brief",
    ("demo.describe",),
    lambda i, o: [Finding(message="too long", rule="house rule 3")] if len(o["text"]) > 30 else [],
    ({"facts": ""}, {"text": "ok"}),
    ({"facts": ""}, {"text": "x" * 31}),
)


def sample(facts: str, text: str, language: str | None = None) -> Sample:
    return Sample(task="demo.describe", input={"facts": facts}, output={"text": text}, language=language)


HELD_OUT = [
    sample("blue mug", "The mug is blue."),
    sample("oak lamp", "A lamp made of oak."),
    sample("blue mug", "A blue mug for the desk."),
    sample("红色台灯", "一盏红色的台灯。", "zh"),
    sample("cheap desk", "The desk is cheap."),
]
TRAIN = [sample(f"item {i}", f"Item {i} is cheap.") for i in range(6)] + [sample("blue mug", "held out as well")]


@pytest.fixture(scope="module")
def base(tiny_base: Path) -> LocalBase:
    return resolve(tiny_base)


@pytest.fixture(scope="module")
def finetune(base: LocalBase, tmp_path_factory: pytest.TempPathFactory) -> FineTune:
    """A LoRA with random weights on both sides, large enough to change the base's answers."""
    import torch
    from peft import LoraConfig, get_peft_model

    from metier.bases.torch_model import load_torch

    folder = tmp_path_factory.mktemp("run")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
        get_peft_model(load_torch(base), config).save_pretrained(folder)
    events = [{"step": 1, "loss": 3.0}, {"step": 2, "loss": 2.0, "held_out_loss": 2.5}, {"step": 2, "loss": 1.9}]
    (folder / "log.jsonl").write_text("\n".join(json.dumps(e) for e in events) + '\n{"step": 3, "lo')
    card = FineTuneCard(
        name="demo",
        tasks=(TASK,),
        base=base.card,
        recipe=Recipe(),
        data=DataSummary(sha256="0", samples=7, held_out=5, held_out_sha256="0"),
        weights_sha256=sha256_of(folder / "adapter_model.safetensors"),
    )
    write_card(folder, card)
    return load_finetune(folder)


@pytest.fixture(scope="module")
def evaluation(base: LocalBase, finetune: FineTune) -> Evaluation:
    return evaluate(TASK, HELD_OUT, base=base, finetune=finetune, train=TRAIN, checks=[BRIEF], options=OPTIONS)


def test_base_few_shot_base_and_fine_tune_answer_the_same_inputs(evaluation: Evaluation) -> None:
    assert [s.name for s in evaluation.systems] == ["base_zero_shot", "base_few_shot", "fine_tune"]
    assert evaluation.inputs == 4 and evaluation.references == 5 and evaluation.languages == {"en": 3, "zh": 1}
    assert [len(row.references) for row in evaluation.rows] == [2, 1, 1, 1]
    assert all(set(row.answers) == {"base_zero_shot", "base_few_shot", "fine_tune"} for row in evaluation.rows)
    assert any(row.answers["base_zero_shot"].text != row.answers["fine_tune"].text for row in evaluation.rows)


def test_every_figure_lies_in_its_interval_and_every_pair_is_compared(evaluation: Evaluation) -> None:
    assert [m.name for m in evaluation.metrics] == ["bleu", "chrf", "rouge_l", "check.brief", "findings"]
    for metric in evaluation.metrics:
        assert all(v.low <= v.value <= v.high for v in metric.values.values())
        assert [(d.against, d.system) for d in metric.differences] == [
            ("base_zero_shot", "base_few_shot"),
            ("base_zero_shot", "fine_tune"),
            ("base_few_shot", "fine_tune"),
        ]
        for d in metric.differences:
            gain = metric.values[d.system].value - metric.values[d.against].value
            assert d.interval.value == pytest.approx(gain, abs=1e-9)
    assert evaluation.metric("check.brief").references == 100
    assert evaluation.metric("bleu").signature and "tok:13a+zh" in evaluation.metric("bleu").signature


def test_an_evaluation_is_the_same_after_json_and_with_the_same_seed(
    evaluation: Evaluation, base: LocalBase, finetune: FineTune
) -> None:
    assert Evaluation.model_validate_json(evaluation.model_dump_json()) == evaluation
    again = evaluate(TASK, HELD_OUT, base=base, finetune=finetune, train=TRAIN, checks=[BRIEF], options=OPTIONS)
    assert again.metrics == evaluation.metrics and again.rows == evaluation.rows


def test_answers_continue_the_runtimes_prompt(evaluation: Evaluation, base: LocalBase) -> None:
    import torch

    from metier.bases.hardware import choose_dtype
    from metier.bases.torch_model import load_torch
    from metier.decoding.tokenizer import ChatTokenizer
    from metier.prompting.prompt import prompt_ids

    tokenizer = ChatTokenizer.load(base.path)
    model = load_torch(base, choose_dtype("auto", torch.device("cpu")))
    ids = prompt_ids(tokenizer, TASK, {"facts": "红色台灯"}, language="zh")
    with torch.no_grad():
        first = int(model(torch.tensor([ids])).logits[0, -1].argmax())
    answer = next(row for row in evaluation.rows if row.language == "zh").answers["base_zero_shot"]
    assert answer.text.startswith(tokenizer.decode([first]).strip())


def test_shots_come_from_training_samples_of_the_language_and_never_from_held_out_inputs() -> None:
    from metier.metrics.cases import cases_of, pick_shots

    shots = pick_shots(TASK, TRAIN, cases_of(TASK, HELD_OUT), "en", 50, seed=0)
    assert {s.input["facts"] for s in shots} == {f"item {i}" for i in range(6)}
    assert pick_shots(TASK, TRAIN, [], "zh", 3, seed=0) == []


def test_the_general_text_is_measured_passage_by_passage(base: LocalBase) -> None:
    from metier.bases.torch_model import load_torch
    from metier.decoding.tokenizer import ChatTokenizer
    from metier.evaluate.forgetting import likelihoods, passages

    tokenizer, model = ChatTokenizer.load(base.path), load_torch(base)
    by_passage, total = passages(model, tokenizer), likelihoods(model, tokenizer)
    assert {language: len(found) for language, found in by_passage.items()} == {"en": 8, "zh": 4}
    for language, found in by_passage.items():
        assert sum(one.nats for one in found) == pytest.approx(total[language].nats)
        assert sum(one.tokens for one in found) == total[language].tokens


def test_forgetting_is_perplexity_before_and_after(evaluation: Evaluation, base: LocalBase) -> None:
    import torch

    from metier.bases.torch_model import load_torch
    from metier.decoding.tokenizer import ChatTokenizer
    from metier.evaluate.forgetting import general_text

    forgetting = evaluation.forgetting
    assert forgetting is not None and forgetting.after is not None and forgetting.change is not None
    assert [t.language for t in forgetting.texts] == ["en", "zh"]
    tokenizer, model = ChatTokenizer.load(base.path), load_torch(base)
    nats, tokens = 0.0, 0
    for passage in general_text("en").strip().split("\n\n"):
        ids = torch.tensor([tokenizer.encode(passage)])
        with torch.no_grad():
            nats += float(model(ids, labels=ids).loss) * (ids.shape[1] - 1)
        tokens += ids.shape[1] - 1
    assert forgetting.texts[0].tokens == tokens
    assert forgetting.texts[0].before == pytest.approx(2.718281828 ** (nats / tokens), rel=1e-4)
    assert forgetting.change == pytest.approx(forgetting.after / forgetting.before - 1) and forgetting.change != 0


def test_the_general_text_is_about_six_hundred_words() -> None:
    from metier.evaluate.forgetting import general_text

    assert 400 < len(general_text("en").split()) < 800 and 200 < len(general_text("zh")) < 600


def test_the_runs_log_gives_each_step_once_and_survives_a_cut_line(evaluation: Evaluation) -> None:
    assert [(p.step, p.loss) for p in evaluation.training.train] == [(1, 3.0), (2, 1.9)]
    assert [(p.step, p.loss) for p in evaluation.training.held_out] == [(2, 2.5)]


def test_the_card_gets_before_and_after(evaluation: Evaluation, finetune: FineTune) -> None:
    record_metrics(finetune, evaluation)
    metrics = load_finetune(finetune.path).card.metrics["demo.describe"]
    assert metrics["before"]["bleu"]["value"] == evaluation.metric("bleu").values["base_zero_shot"].value
    assert metrics["after"]["bleu"]["value"] == evaluation.metric("bleu").values["fine_tune"].value
    assert metrics["inputs"] == 4 and metrics["general_perplexity"]["before"] > 1


def test_without_a_fine_tune_only_the_base_is_measured_and_progress_is_reported(base: LocalBase) -> None:
    events: list[tuple] = []
    result = evaluate(
        TASK,
        HELD_OUT,
        base=base,
        options=EvaluationOptions(resamples=10, general=False),
        progress=lambda what, done=0, total=None: events.append((what, done, total)),
    )
    assert [s.name for s in result.systems] == ["base_zero_shot"] and result.forgetting is None
    assert ("Base, zero-shot", 4, 4) in events
    assert set(result.summary()) >= {"before", "inputs"} and "after" not in result.summary()


def test_labels_are_decoded_under_the_contracts_grammar(base: LocalBase) -> None:
    task = TaskContract(
        name="demo.mood",
        kind="classify",
        input=Facts,
        output=Mood,
        reply="label",
        prompts={"en": prompt("{{ facts }}")},
    )
    samples = [
        Sample(task="demo.mood", input={"facts": f"note {i}"}, output={"mood": m})
        for i, m in enumerate(["glad", "sad", "angry"])
    ]
    result = evaluate(task, samples, base=base, options=EvaluationOptions(resamples=20, general=False))
    assert {row.answers["base_zero_shot"].text for row in result.rows} <= {"glad", "sad", "angry"}
    assert result.metric("valid_reply").values["base_zero_shot"].value == 100
    assert [m.name for m in result.metrics] == ["accuracy", "macro_f1", "valid_reply"]


def test_an_evaluation_that_cannot_run_is_refused_with_its_reason(base: LocalBase) -> None:
    with pytest.raises(UsageError, match="nothing to evaluate"):
        evaluate(TASK, [], base=base)
    with pytest.raises(ContractError, match=r"does not satisfy demo\.describe: text"):
        evaluate(TASK, [Sample(task="demo.describe", input={"facts": "a"}, output={"text": 3})], base=base)
    with pytest.raises(ContractError, match="holds 512"):
        evaluate(TASK, [sample("long " * 600, "x")], base=base)
    with pytest.raises(UsageError, match="no metric blue, did you mean bleu"):
        evaluate(TASK, HELD_OUT, base=base, options=EvaluationOptions(metrics=["blue"]))


def test_a_missing_cuda_device_is_an_error(base: LocalBase) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(DeviceError, match="CUDA is not active"):
        evaluate(TASK, HELD_OUT, base=base, options=EvaluationOptions(device="cuda"))
