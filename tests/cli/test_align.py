"""The alignment commands, from a fine-tune and files to the folders they write."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from metier.cli.app import app
from metier.contracts import Feedback, FeedbackEvent, Preference

SAID = [("a blue mug", "The mug is blue.", "A lamp."), ("an oak desk", "The desk is oak.", "Blue mug.")]


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    file = tmp_path / "pairs.jsonl"
    told = [
        Preference(task="tiny.copy", input={"facts": facts}, chosen={"text": good}, rejected={"text": bad})
        for facts, good, bad in SAID * 3
    ]
    file.write_text("".join(p.model_dump_json() + "\n" for p in told), "utf-8")
    return file


def test_prefer_leaves_a_new_fine_tune_and_the_old_one_as_it_was(tiny_finetune, pairs: Path, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    shutil.copytree(tiny_finetune.path, begun)
    before = {p.name: p.read_bytes() for p in begun.iterdir()}
    out = tmp_path / "aligned"
    told = json.loads(
        run("prefer", begun, "--data", pairs, "--out", out, "--method", "kto", "--set", "beta=0.3", "--json")
    )
    assert told["card"]["alignment"][0]["settings"]["beta"] == 0.3
    assert told["card"]["alignment"][0]["settings"]["method"] == "kto"
    assert {p.name: p.read_bytes() for p in begun.iterdir()} == before
    assert (out / "adapter_model.safetensors").read_bytes() != before["adapter_model.safetensors"]


def test_prefer_learns_from_answers_that_were_accepted_or_rejected_each_on_its_own(
    tiny_finetune, tmp_path: Path
) -> None:
    file = tmp_path / "judged.jsonl"
    told = [
        Feedback(task="tiny.copy", input={"facts": facts}, answer={"text": text}, event=event)
        for facts, good, bad in SAID
        for text, event in ((good, FeedbackEvent.ACCEPTED), (bad, FeedbackEvent.REJECTED))
    ]
    file.write_text("".join(f.model_dump_json() + "\n" for f in told), "utf-8")
    said = run("prefer", tiny_finetune.path, "--data", file, "--judged", "--method", "kto", "--out", tmp_path / "out")
    assert "kto, 4 judged answers" in said


def test_an_unknown_setting_is_refused_with_the_nearest_right_one(tiny_finetune, pairs: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["prefer", str(tiny_finetune.path), "--data", str(pairs), "--out", str(tmp_path / "x"), "--set", "betta=1"]
    )
    assert done.exit_code == 7 and "beta" in done.output


def test_reward_says_how_the_model_does_on_pairs_kept_apart(tiny_finetune, pairs: Path, tmp_path: Path) -> None:
    share = ["--held-out", 0.5, "--set", "seed=1", "--set", "precision=fp32"]
    said = run("reward", tiny_finetune.path, "--data", pairs, "--out", tmp_path / "rm", *share)
    assert "on 3 others: accuracy" in said
    assert json.loads((tmp_path / "rm/reward.json").read_text("utf-8"))["held_out"]["pairs"] == 3


def test_reinforce_answers_the_trade_s_inputs_and_is_rewarded_by_its_checks(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from metier.bases.finetune import load_finetune

    monkeypatch.setenv("METIER_HOME", str(tmp_path / "home"))
    few = ["--samples", 8, "--set", "epochs=1", "--set", "precision=fp32", "--base", tiny_base]
    run("adapt", "adcopy.describe", "--out", tmp_path / "begun", *few)
    begun = load_finetune(tmp_path / "begun")
    quick = [f"--set={s}" for s in ("updates=2", "rollouts=4", "batch_size=4", "max_tokens=4", "precision=fp32")]
    said = run("reinforce", begun.path, "--out", tmp_path / "out", "--samples", 8, *quick)
    assert "ppo, reward" in said and "KL to where it began" in said
    assert len((tmp_path / "out/updates.jsonl").read_text("utf-8").splitlines()) == 2
    none = CliRunner().invoke(app, ["reinforce", str(begun.path), "--out", str(tmp_path / "x"), "--checks", "0"])
    assert none.exit_code == 2 and "--reward" in none.output
