"""Feedback from the store, collected as training data, aligns the fine-tune that gave the answers."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from metier.align import read_judged, read_preferences
from metier.bases.finetune import load_finetune
from metier.cli.app import app
from metier.contracts import Answer, FineTune, Preference, TaskContract
from metier.feedback import FeedbackStore
from metier.plugins import load_plugins

Margin = Callable[[FineTune, TaskContract, list[Preference]], float]
THINGS = {
    "Harrow mug": "stoneware", "Lumo lamp": "brass", "Kelso jacket": "tweed", "Tide kettle": "copper",
    "Fenn stool": "ash wood", "Orra clock": "walnut", "Pell scarf": "merino", "Brann knife": "carbon steel",
}  # fmt: skip
QUICK = ["--set", "epochs=6", "--set", "learning_rate=5e-3", "--set", "precision=fp32"]


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """For each thing a wordy answer that a user shortened, and an invention that another user rejected."""
    file = tmp_path / "feedback.db"
    with FeedbackStore(file) as opened:
        for number, (name, stuff) in enumerate(THINGS.items()):
            same = {"task": "adcopy.describe", "input": {"facts": f"name[{name}], material[{stuff}]"}, "consent": True}
            plain = f"The {name} is made of {stuff}."
            wordy = Answer(**same, output={"text": f"{plain} Best in town, buy now!"})
            false = Answer(**same, output={"text": f"Nobody else sells a {name} at half the price."})
            opened.add(wordy, false)
            opened.add_event(wordy.id, "edited", user="ann", edited_to={"text": plain})
            opened.add_event(false.id, "rejected", user="bob")
            if number % 2:
                other = Answer(**same, output={"text": f"{stuff.capitalize()}: that is the {name}."})
                opened.add(other)
                opened.add_event(other.id, "accepted", user="cid")
    return file


def test_collected_feedback_aligns_a_fine_tune_by_preferences_and_then_by_judged_samples(
    store: Path, tiny_base: Path, margin: Margin, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    few = ["--samples", 8, "--set", "epochs=1", "--set", "precision=fp32", "--base", tiny_base]
    run("adapt", "adcopy.describe", "--out", begun, *few)
    counts = json.loads(run("feedback", "collect", store, "adcopy.describe", "--out", tmp_path / "found", "--json"))
    pairs, judged = tmp_path / "found/preferences.jsonl", tmp_path / "found/judged.jsonl"
    good, bad = read_judged(judged)
    assert (counts["preferences"], len(good), len(bad)) == (8, 12, 8)

    run("prefer", begun, "--data", pairs, "--out", tmp_path / "by_pairs", *QUICK)
    kto = ("--judged", "--method", "kto")
    run("prefer", tmp_path / "by_pairs", "--data", judged, *kto, "--out", tmp_path / "by_both", *QUICK)

    first, second, third = (load_finetune(tmp_path / name) for name in ("begun", "by_pairs", "by_both"))
    steps = third.card.alignment
    assert [(step.settings.method, step.count) for step in steps] == [("dpo", 8), ("kto", 20)]
    assert [step.began_from for step in steps] == [first.card.weights_sha256, second.card.weights_sha256]
    _, task = load_plugins().task("adcopy.describe")
    preferences = read_preferences(pairs)
    assert margin(second, task, preferences) > margin(first, task, preferences) + 0.5
    single = [
        Preference(task=g.task, input=b.input, chosen=g.output, rejected=b.output)
        for g, b in zip(good, bad, strict=False)
    ]
    assert margin(third, task, single) > margin(second, task, single) + 0.2
