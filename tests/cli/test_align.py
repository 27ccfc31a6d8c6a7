"""The alignment commands, from a fine-tune and files to the folders they write."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from metier.cli.app import app
from metier.contracts import JudgedSample, Preference, Sample

EXAMPLE = Path(__file__).parents[2] / "examples/shop.csv"
FAST = [f"--set={s}" for s in ("updates=2", "rollouts=4", "batch_size=4", "max_tokens=4", "precision=fp32")]
ANSWERS = [("a green mug", "The mug is green.", "A lamp."), ("an oak desk", "The desk is oak.", "Green mug.")]


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    file = tmp_path / "pairs.jsonl"
    preferences = [
        Preference(task="tiny.copy", input={"facts": facts}, chosen={"text": good}, rejected={"text": bad})
        for facts, good, bad in ANSWERS * 3
    ]
    file.write_text("".join(p.model_dump_json() + "\n" for p in preferences), "utf-8")
    return file


def test_prefer_writes_a_new_fine_tune_and_does_not_change_the_old_one(
    tiny_finetune, pairs: Path, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    shutil.copytree(tiny_finetune.path, begun)
    before = {p.name: p.read_bytes() for p in begun.iterdir()}
    out = tmp_path / "aligned"
    report = json.loads(
        run("prefer", begun, "--data", pairs, "--out", out, "--method", "kto", "--set", "beta=0.3", "--json")
    )
    assert report["card"]["alignment"][0]["settings"]["beta"] == 0.3
    assert report["card"]["alignment"][0]["settings"]["method"] == "kto"
    assert {p.name: p.read_bytes() for p in begun.iterdir()} == before
    assert (out / "adapter_model.safetensors").read_bytes() != before["adapter_model.safetensors"]


def test_prefer_learns_from_answers_that_were_accepted_or_rejected_each_on_its_own(
    tiny_finetune, tmp_path: Path
) -> None:
    file = tmp_path / "judged.jsonl"
    judged = [
        JudgedSample(task="tiny.copy", input={"facts": facts}, output={"text": text}, good=text == good)
        for facts, good, bad in ANSWERS
        for text in (good, bad)
    ]
    file.write_text("".join(f.model_dump_json() + "\n" for f in judged[:3]), "utf-8")
    line = ["prefer", tiny_finetune.path, "--data", file, "--judged", "--method", "kto", "--out"]
    printed = run(*line, tmp_path / "out")
    assert "kto, 3 judged answers" in printed and "a good answer 1, of a bad one 2; total good to bad 1.00" in printed
    even = [f"--set={name}_weight=1" for name in ("desirable", "undesirable")]
    assert "a bad one 1; total good to bad 2.00, best 1 to 1.33" in run(*line, tmp_path / "even", *even)


def test_an_unknown_setting_is_refused_with_the_nearest_right_one(tiny_finetune, pairs: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["prefer", str(tiny_finetune.path), "--data", str(pairs), "--out", str(tmp_path / "x"), "--set", "betta=1"]
    )
    assert done.exit_code == 7 and "beta" in done.output


def test_reward_reports_the_accuracy_on_held_out_pairs(tiny_finetune, pairs: Path, tmp_path: Path) -> None:
    share = ["--held-out", 0.5, "--set", "seed=1", "--set", "precision=fp32"]
    printed = run("reward", tiny_finetune.path, "--data", pairs, "--out", tmp_path / "rm", *share)
    assert "on 3 held-out preferences: accuracy" in printed
    assert json.loads((tmp_path / "rm/reward.json").read_text("utf-8"))["held_out"]["pairs"] == 3


def test_reinforce_answers_the_trade_s_inputs_and_is_rewarded_by_its_checks(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from metier.bases.finetune import load_finetune

    monkeypatch.setenv("METIER_HOME", str(tmp_path / "home"))
    few = ["--samples", 8, "--set", "epochs=1", "--set", "precision=fp32", "--base", tiny_base]
    run("adapt", "adcopy.describe", "--out", tmp_path / "begun", *few)
    begun = load_finetune(tmp_path / "begun")
    printed = run("reinforce", begun.path, "--out", tmp_path / "out", "--samples", 8, *FAST)
    assert "ppo, reward" in printed and "KL to the initial policy" in printed
    assert len((tmp_path / "out/updates.jsonl").read_text("utf-8").splitlines()) == 2
    none = CliRunner().invoke(app, ["reinforce", str(begun.path), "--out", str(tmp_path / "x"), "--checks", "0"])
    assert none.exit_code == 2 and "--reward" in none.output


@pytest.fixture(scope="module")
def shop(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that the README makes of examples/shop.csv, six of its inputs held out."""
    out = tmp_path_factory.mktemp("shop") / "run"
    kept = ["--data", EXAMPLE, "--held-out", 6, "--seed", 0]
    run("adapt", "adcopy.describe", *kept, "--set", "precision=fp32", "--base", tiny_base, "--out", out)
    return out


def samples_in(file: Path) -> list[Sample]:
    return [Sample.model_validate_json(line) for line in file.read_text("utf-8").splitlines()]


def inputs(file: Path) -> set[str]:
    return {str(sample.input) for sample in samples_in(file)}


@pytest.mark.parametrize("data", [["--data", EXAMPLE], []], ids=["the whole file", "no file"])
def test_reinforce_never_trains_on_held_out_inputs(
    data: list, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METIER_HOME", str(tmp_path / "home"))
    done = CliRunner().invoke(app, ["reinforce", str(shop), *map(str, data), "--out", str(tmp_path / "out"), *FAST])
    assert done.exit_code == 0, done.output
    assert inputs(tmp_path / "out/train.jsonl") == inputs(shop / "train.jsonl")
    assert inputs(tmp_path / "out/held_out.jsonl") == inputs(shop / "held_out.jsonl")
    assert ("6 samples left out: each is like an input that the run holds out" in done.output) == bool(data)


@pytest.mark.parametrize("command", ["prefer", "reward", "judged"])
def test_preferences_about_held_out_inputs_are_left_out_and_counted(command: str, shop: Path, tmp_path: Path) -> None:
    held_out, trained = samples_in(shop / "held_out.jsonl")[:3], samples_in(shop / "train.jsonl")[:8]
    file = tmp_path / "judged.jsonl"
    bad = {"text": "Buy it."}
    if command == "judged":
        rows = [
            JudgedSample(task=s.task, input=s.input, output=output, good=output != bad)
            for s in [*held_out, *trained]
            for output in (s.output, bad)
        ]
        line = ["prefer", "--judged", "--method", "kto"]
    else:
        rows = [Preference(task=s.task, input=s.input, chosen=s.output, rejected=bad) for s in [*held_out, *trained]]
        line = [command]
    file.write_text("".join(row.model_dump_json() + "\n" for row in rows), "utf-8")
    line = [line[0], shop, "--data", file, "--out", tmp_path / "out", "--set", "precision=fp32", *line[1:]]
    done = CliRunner().invoke(app, [str(word) for word in line])
    assert done.exit_code == 0, done.output
    count = 6 if command == "judged" else 3
    assert f"{count} of {len(rows)} left out: they resemble held-out samples of {shop}" in done.output.replace("\n", "")
    if command != "reward":
        assert not inputs(tmp_path / "out/train.jsonl") & inputs(shop / "held_out.jsonl")
    file.write_text("".join(row.model_dump_json() + "\n" for row in rows[:3]), "utf-8")
    none = CliRunner().invoke(app, [str(word) for word in line])
    assert none.exit_code == 2 and "left out" in none.output


def test_reinforce_rewards_each_task_of_a_fine_tune_by_its_own_checks(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METIER_HOME", str(tmp_path / "home"))
    several = ["support.entities", "support.listing", "support.intent"]
    run("adapt", *several, "--samples", 3, "--set=precision=fp32", "--base", tiny_base, "--out", tmp_path / "begun")

    def reinforced(out: str, *line: str) -> tuple[set[str], str]:
        done = CliRunner().invoke(
            app, ["reinforce", str(tmp_path / "begun"), "--out", str(tmp_path / out), *FAST, *line]
        )
        assert done.exit_code == 0, done.output
        return {sample.task for sample in samples_in(tmp_path / out / "train.jsonl")}, done.output

    tasks, printed = reinforced("all")
    assert tasks == set(several[:2])
    assert "left out, since no check rewards their answers: support.intent" in printed
    tasks, printed = reinforced("one", "--task", "support.listing", "--samples", "2")
    assert tasks == {"support.listing"} and "left out" not in printed
    assert len(samples_in(tmp_path / "one/train.jsonl")) == 2
    line = ["reinforce", str(tmp_path / "begun"), "--out", str(tmp_path / "x"), "--task"]
    unjudged = CliRunner().invoke(app, [*line, "support.intent"])
    assert unjudged.exit_code == 2 and "has no checks for support.intent" in unjudged.output
    wrong = CliRunner().invoke(app, [*line, "support.listng"])
    assert wrong.exit_code == 2 and "support.listing" in wrong.output


def test_answers_to_held_out_inputs_are_evaluated_during_training(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METIER_HOME", str(tmp_path / "home"))
    file = tmp_path / "pairs.jsonl"
    rows = [
        Preference(task=s.task, input=s.input, chosen=s.output, rejected={"text": "Buy it."})
        for s in samples_in(shop / "train.jsonl")[:4]
    ]
    file.write_text("".join(row.model_dump_json() + "\n" for row in rows), "utf-8")
    watch = ["--watch", 2, "--set=precision=fp32"]
    run("prefer", shop, "--data", file, "--out", tmp_path / "dpo", "--set=batch_size=2", *watch)
    run("reinforce", shop, "--out", tmp_path / "ppo", *FAST, *watch)
    for log, name in (("dpo/log.jsonl", "answers"), ("ppo/updates.jsonl", "watched")):
        first, last = map(json.loads, (tmp_path / log).read_text("utf-8").splitlines())
        assert {"chrf", "check.facts_stated"} <= set(last[name]) == set(first[name])
