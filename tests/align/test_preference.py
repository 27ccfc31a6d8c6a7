"""DPO and KTO from a fine-tune: what they train, where they start, and that a killed run resumes."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from metier.align import prefer, prefer_judged
from metier.align.pairs import chosen_of, encode_pairs, read_judged, read_preferences, rejected_of, split_pairs
from metier.align.policy_init import Reference, lora_weights, trainable
from metier.align.preference import conservative, kto_rows, kto_weights
from metier.bases.finetune import load_finetune
from metier.bases.resolve import LocalBase
from metier.contracts import (
    DataError,
    Dpo,
    FineTune,
    JudgedSample,
    Kto,
    Preference,
    Recipe,
    Sample,
    TaskContract,
    UsageError,
)
from metier.decoding.tokenizer import ChatTokenizer
from metier.training.examples import encode_samples

Margin = Callable[[FineTune, TaskContract, list[Preference]], float]
QUICK = {"epochs": 3, "learning_rate": 5e-3, "precision": "fp32"}


@pytest.mark.parametrize("settings", [Dpo(**QUICK), Kto(**QUICK)], ids=["dpo", "kto"])
def test_the_chosen_answers_gain_on_the_rejected_ones_on_held_out_pairs_too(
    settings: Dpo | Kto,
    start: FineTune,
    task: TaskContract,
    preferences: list[Preference],
    local_base: LocalBase,
    margin: Margin,
    tmp_path: Path,
) -> None:
    train, held_out = preferences[:16], preferences[16:]
    steps: list[int] = []
    tuned = prefer(
        start, train, tmp_path / "run", settings, base=local_base, progress=lambda event: steps.append(event.step)
    )
    before, after = (margin(f, task, held_out) for f in (start, tuned))
    assert after > before + 0.5
    assert load_finetune(tuned.path) == tuned
    assert tuned.card.training["tokens"] > 16 * 2 * 20
    assert steps == list(range(1, (6 if settings.method == "dpo" else 12) + 1))
    (step,) = tuned.card.alignment
    assert step.settings == settings and step.began_from == start.card.weights_sha256
    assert {p.name for p in tuned.path.iterdir()} == {
        *("adapter_model.safetensors", "adapter_config.json", "card.json", "recipe.yaml"),
        *("train.jsonl", "held_out.jsonl"),
    }
    assert (tuned.path / "held_out.jsonl").read_text() == (start.path / "held_out.jsonl").read_text()


def test_training_starts_from_the_fine_tune_s_weights_and_the_reference_keeps_them(
    start: FineTune, local_base: LocalBase
) -> None:
    adapted = trainable(local_base, start, Dpo(precision="fp32"))
    weights = lora_weights(adapted)
    saved = load_file(start.path / "adapter_model.safetensors")
    assert len(weights) == len(saved)
    for name, tensor in saved.items():
        assert torch.equal(weights[name.replace(".weight", ".default.weight")].detach(), tensor.float())

    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        at_start = adapted(input_ids=ids).logits
        with adapted.disable_adapter():
            bare = adapted(input_ids=ids).logits
        initial, base = Reference(weights, "start"), Reference(weights, "base")
        for weight in weights.values():
            weight += 0.05
        moved = adapted(input_ids=ids).logits
        with initial.in_place():
            assert torch.equal(adapted(input_ids=ids).logits, at_start)
        with base.in_place():
            assert torch.allclose(adapted(input_ids=ids).logits, bare, atol=1e-6)
        assert torch.equal(adapted(input_ids=ids).logits, moved)
    assert not torch.allclose(moved, at_start)


def test_fresh_weights_on_a_base_can_be_aligned_too(
    task: TaskContract, preferences: list[Preference], recipe: Recipe, local_base: LocalBase, tmp_path: Path
) -> None:
    settings = Dpo(epochs=1, precision="fp32")
    tuned = prefer(recipe, preferences[:4], tmp_path / "run", settings, tasks=[task], base=local_base)
    assert tuned.card.alignment[0].began_from is None and tuned.card.recipe == recipe


@pytest.mark.parametrize("kind", [Dpo, Kto], ids=["dpo", "kto"])
def test_a_killed_run_resumes_and_ends_with_the_same_weights(
    kind: type[Dpo | Kto], start: FineTune, preferences: list[Preference], local_base: LocalBase, tmp_path: Path
) -> None:
    size = 4 if kind is Dpo else 8  # KTO takes a pair as two answers: eight steps of both
    settings = kind(epochs=2, batch_size=size, learning_rate=5e-3, precision="fp32", checkpoint_seconds=1e-6)
    uninterrupted = prefer(start, preferences[:16], tmp_path / "uninterrupted", settings, base=local_base)

    class Killed(BaseException):
        pass

    def stop(event) -> None:
        if event.step == 5:
            raise Killed

    with pytest.raises(Killed):
        prefer(start, preferences[:16], tmp_path / "run", settings, base=local_base, progress=stop)
    half = sorted((tmp_path / "run/checkpoint").glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))[-1]
    torn = half.with_name("checkpoint-99")  # a save that was killed: it has no state yet
    torn.mkdir()
    (torn / "adapter_model.safetensors").write_bytes(b"half")
    steps: list[int] = []
    again = prefer(
        start,
        preferences[:16],
        tmp_path / "run",
        settings,
        base=local_base,
        progress=lambda event: steps.append(event.step),
    )
    assert steps == list(range(int(half.name.split("-")[1]) + 1, 9))
    one, other = (load_file(f.path / "adapter_model.safetensors") for f in (uninterrupted, again))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert prefer(start, preferences[:16], tmp_path / "run", settings, base=local_base) == again, "nothing done twice"
    with pytest.raises(UsageError, match="of another run"):
        prefer(start, preferences[:8], tmp_path / "run", settings, base=local_base)


def test_kto_learns_from_answers_that_make_no_pairs(
    start: FineTune,
    task: TaskContract,
    preferences: list[Preference],
    local_base: LocalBase,
    margin: Margin,
    tmp_path: Path,
) -> None:
    good, bad = [chosen_of(p) for p in preferences[:10]], [rejected_of(p) for p in preferences[10:16]]
    tuned = prefer_judged(start, good, bad, tmp_path / "run", Kto(**QUICK), base=local_base)
    assert margin(tuned, task, preferences[16:]) > margin(start, task, preferences[16:])
    assert tuned.card.alignment[0].count == 16 and tuned.card.data.samples == 10


@pytest.mark.parametrize(
    ("good", "bad", "set", "expected"),
    [
        (282, 282, {}, (1, 1, 1)),
        (30, 10, {}, (1, 3, 1)),
        (10, 30, {}, (3, 1, 1)),
        (30, 10, {"desirable_weight": 2}, (2, 6, 1)),
        (30, 10, {"undesirable_weight": 1}, (1 / 3, 1, 1)),
        (
            30,
            10,
            {"desirable_weight": 1, "undesirable_weight": 1},
            (1, 1, 3),
        ),  # as set, and the card records how uneven
        (30, 0, {}, (1, 1)),
    ],
)
def test_the_rarer_kind_of_answer_counts_more_so_that_both_kinds_count_the_same(good, bad, set, expected) -> None:
    assert tuple(kto_weights(good, bad, Kto(**set)).values()) == pytest.approx(expected)


def test_kto_trains_with_the_weights_on_its_card(
    start: FineTune, preferences: list[Preference], local_base: LocalBase, tmp_path: Path
) -> None:
    good, bad = [chosen_of(p) for p in preferences[:6]], [rejected_of(p) for p in preferences[6:8]]
    same = {"epochs": 2, "learning_rate": 5e-3, "precision": "fp32", "batch_size": 4}
    by_hand = {"desirable_weight": 1.0, "undesirable_weight": 3.0}
    even = dict.fromkeys(by_hand, 1.0)
    automatic, explicit, plain = (
        prefer_judged(start, good, bad, tmp_path / name, Kto(**same, **weights), base=local_base)
        for name, weights in (("automatic", {}), ("explicit", by_hand), ("plain", even))
    )
    assert automatic.card.alignment[0].figures == {**by_hand, "balance": 1.0}
    assert plain.card.alignment[0].figures == {**even, "balance": 3.0}
    assert automatic.card.weights_sha256 == explicit.card.weights_sha256 != plain.card.weights_sha256


def test_a_last_batch_of_one_answer_does_not_take_its_own_for_a_mismatched_one(
    task: TaskContract, samples: list[Sample], local_base: LocalBase
) -> None:
    examples = encode_samples(ChatTokenizer.load(local_base.path), {task.name: task}, samples[:5], 512)
    rows = kto_rows(examples, 3, Kto(batch_size=4))
    assert rows["KL_completion_ids"][4] == rows["completion_ids"][3] != rows["completion_ids"][4]


def test_kto_s_batches_are_mixed_and_their_answers_moved_on_by_one(
    task: TaskContract, samples: list[Sample], local_base: LocalBase
) -> None:
    examples = encode_samples(ChatTokenizer.load(local_base.path), {task.name: task}, samples[:8], 512)
    rows = kto_rows(examples, 4, Kto(batch_size=4))
    assert sum(rows["label"]) == 4 and 0 < sum(rows["label"][:4]) < 4
    for start in (0, 4):
        own, moved = (rows[k][start : start + 4] for k in ("completion_ids", "KL_completion_ids"))
        assert moved == [own[-1], *own[:-1]]


def test_pairs_are_rendered_as_the_samples_of_fine_tuning_are(
    task: TaskContract, preferences: list[Preference], local_base: LocalBase
) -> None:
    tokenizer, tasks = ChatTokenizer.load(local_base.path), {task.name: task}
    (pair,) = encode_pairs(tokenizer, tasks, preferences[:1], 512)
    (example,) = encode_samples(tokenizer, tasks, [chosen_of(preferences[0])], 512)
    assert (pair.prompt, pair.chosen) == (example.prompt, example.reply)


def test_bad_pairs_are_named_by_file_and_line(
    start: FineTune, preferences: list[Preference], local_base: LocalBase, tmp_path: Path
) -> None:
    same = preferences[2].model_copy(update={"rejected": preferences[2].chosen})
    with pytest.raises(DataError, match=r"pairs\.jsonl:3: the chosen and the rejected answer are the same"):
        prefer(start, [*preferences[:2], same], tmp_path / "run", base=local_base)
    file = tmp_path / "pairs.jsonl"
    file.write_text(preferences[0].model_dump_json() + "\n{}\n", "utf-8")
    with pytest.raises(DataError, match=r"pairs\.jsonl:2: task: Field required"):
        read_preferences(file)
    with pytest.raises(UsageError, match="no preferences"):
        prefer(start, [], tmp_path / "none", base=local_base)


def test_judged_samples_are_read_as_good_and_bad_ones(tmp_path: Path) -> None:
    same = {"task": "shop.describe", "input": {"facts": "a"}}
    rows = [
        JudgedSample(**same, output={"text": "A."}, good=True),
        JudgedSample(**same, output={"text": "C."}, good=False),
        JudgedSample(**same, output={"text": "B."}, good=True),
    ]
    file = tmp_path / "judged.jsonl"
    file.write_text("".join(row.model_dump_json() + "\n" for row in rows), "utf-8")
    good, bad = read_judged(file)
    assert [s.output["text"] for s in good] == ["A.", "B."] and [s.output["text"] for s in bad] == ["C."]
    assert {type(s) for s in (*good, *bad)} == {Sample}
    file.write_text('{"task": "shop.describe", "input": {}, "answer": {}, "event": "accepted"}\n', "utf-8")
    with pytest.raises(DataError, match=r"judged\.jsonl:1: output"):
        read_judged(file)


def test_all_pairs_of_one_input_are_held_out_together(preferences: list[Preference]) -> None:
    doubled = [*preferences, *(p.model_copy(update={"provenance": None}) for p in preferences)]
    train, held_out = split_pairs(doubled, 0.3, seed=1)
    assert len(train) + len(held_out) == 48 and 4 <= len(held_out) <= 26
    assert not {str(p.input) for p in train} & {str(p.input) for p in held_out}


def test_smoothed_labels_make_dpo_s_loss_conservative(start, preferences, samples, local_base, tmp_path: Path) -> None:
    """Assuming that one label in three is wrong separates a pair less, and gives other weights."""
    weights = {}
    for smoothing in (0.0, 0.33):
        settings = Dpo(precision="fp32", epochs=2, label_smoothing=smoothing)
        tuned = prefer(start, preferences[:8], tmp_path / str(smoothing), settings, base=local_base)
        weights[smoothing] = load_file(tuned.path / "adapter_model.safetensors")
    assert any(not torch.equal(value, weights[0.33][name]) for name, value in weights[0.0].items())


@pytest.mark.parametrize("wrong", [0.1, 0.33])
def test_the_weighted_sum_of_trl_s_losses_is_conservative_dpo(wrong: float) -> None:
    score = torch.linspace(-3, 3, 7, dtype=torch.float64)
    plain, flipped = -torch.nn.functional.logsigmoid(score), -torch.nn.functional.logsigmoid(-score)
    robust = ((1 - wrong) * plain - wrong * flipped) / (1 - 2 * wrong)  # arXiv 2403.00409, as TRL has it
    arguments = conservative(wrong)
    assert arguments["loss_type"] == ["sigmoid", "robust"] and arguments["label_smoothing"] == wrong
    first, second = arguments["loss_weights"]
    torch.testing.assert_close(first * plain + second * robust, (1 - wrong) * plain + wrong * flipped)


def test_a_file_is_split_at_line_feeds_only(preferences, tmp_path: Path) -> None:
    odd = preferences[0].model_copy(update={"chosen": {"text": "oak\u2028and\u0085beech"}})
    (tmp_path / "pairs.jsonl").write_text(odd.model_dump_json() + "\n", "utf-8")
    assert [p.chosen for p in read_preferences(tmp_path / "pairs.jsonl")] == [odd.chosen]
