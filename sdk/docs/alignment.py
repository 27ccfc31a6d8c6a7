"""The figures of the page on preferences and rewards, from the benchmarks' committed results. It measures nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page
from shipped import ROOT

RESULTS = ROOT / "tests/benchmarks/results"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """mkdocs calls this for every page: markers are replaced by their text."""
    for name, write in TABLES.items():
        marker = f"<!-- {name} -->"
        if marker in markdown:
            markdown = markdown.replace(marker, write(json.loads((RESULTS / f"{name}_cpu.json").read_text("utf-8"))))
    return markdown


def rollout(found: dict[str, Any]) -> str:
    """Tokens a second of the engine and of `generate`."""
    speed = {
        (row["asks"], row["system"], row["precision"], row["batch"]): row["tokens_per_second"]
        for row in found["systems"]
    }
    ours = next(row["precision"] for row in found["systems"] if row["system"] == "metier engine")
    theirs = sorted({row["precision"] for row in found["systems"] if row["precision"] != ours}, reverse=True)
    rows = []
    for group, batch in sorted({(row["asks"], row["batch"]) for row in found["systems"]}, reverse=True):
        engine = speed[group, "metier engine", ours, batch]
        others = [speed[group, "transformers generate", dtype, batch] for dtype in theirs]
        copies = found["answers_to_a_prompt"][group]
        copies_text = "one to a prompt" if copies == 1 else f"{copies} to a prompt"
        ratios = [f"{engine / other:.1f}" for other in others]
        rows.append([group.upper(), copies_text, batch, engine, *others, *ratios, _share(found, group, ours, batch)])
    against = found["mismatch"]
    head = ["method", "answers", "batch", f"engine, {ours}"]
    head += [
        *(f"generate, {dtype}" for dtype in theirs),
        *(f"ratio to {dtype}" for dtype in theirs),
        "of the engine's time, prompts / steps",
    ]
    return (
        f"Tokens a second on {found['machine']}, {found['threads']} threads, the median of"
        f" {len(found['rounds'])} rounds:"
        f"\n\n{table(head, rows)}\n\n"
        f"Over {against['tokens']} drawn tokens the graph's log-probability is {against['mean_abs']:.3f} nats from the"
        f" policy's on the mean; the KL between them is {against['kl']:.4f} nats a token."
    )


def reward(found: dict[str, Any]) -> str:
    """The reward model; every stage in a row; what was not rewarded; answers."""
    stages = found["stages"]
    aligned = {name: stage for name, stage in stages.items() if "gain" in stage}
    parts = [
        _reward_model(found["reward_model"]),
        f"**What each method gains**, by the checks, on {found['inputs']['held_out']} held-out inputs:"
        f" {found['answers_to_an_input']} answers drawn to each, and the greedy one. Gains are to `sft` on the same"
        f" inputs, with 95 % intervals over them. One core; {found['engine']} weights in the engine.",
        table(_HEAD, [_row(name, stage) for name, stage in stages.items()]),
        " ".join(_verdict(name, stage) for name, stage in aligned.items()),
        *(
            f"**{name.upper()}** learns from its own answers: {_course(s)}"
            for name, s in aligned.items()
            if s["updates"]
        ),
        table(["drawn / greedy", *stages], list(_measures(stages))),
    ]
    for number, one in enumerate(stages["sft"]["samples"]):
        answers = [f"`{one['input']}`", ""]
        for name, stage in stages.items():
            sample = stage["samples"][number]
            wrong = f" *({'; '.join(sample['wrong'])})*" if sample["wrong"] else ""
            answers.append(f"- {name}: {sample['text'].strip()}{wrong}")
        parts.append("\n".join(answers))
    return "\n\n".join(parts)


_HEAD = (
    *("stage", "reward, drawn", "gain", "reward, greedy", "gain", "reward model, drawn / greedy"),
    *("KL to `sft`, nats an answer", "perplexity of general text, en / zh", "minutes of training"),
)


def _row(name: str, stage: dict[str, Any]) -> list[str]:
    def reward_and_gain(answers: str) -> Iterable[str]:
        yield f"{stage[answers]['reward_by_rule']:.3f}"
        yield "{mean:+.3f} [{low:+.3f}, {high:+.3f}]".format(**stage["gain"][answers]) if "gain" in stage else "–"

    return [
        name,
        *reward_and_gain("drawn"),
        *reward_and_gain("greedy"),
        " / ".join(f"{stage[answers]['reward_model']:+.2f}" for answers in ("drawn", "greedy")),
        f"{stage['kl_to_sft']:.2f}" if name != "sft" else "–",
        " / ".join(map(str, stage["general_perplexity"].values())),
        f"{stage['seconds'] / 60:.0f}" if "seconds" in stage else "–",
    ]


def _verdict(name: str, stage: dict[str, Any]) -> str:
    better = [answers for answers in ("drawn", "greedy") if stage["gain"][answers]["low"] > 0]
    worse = [answers for answers in ("drawn", "greedy") if stage["gain"][answers]["high"] < 0]
    parts = [
        f"{' and '.join(kinds)} answers are {how} for sure"
        for kinds, how in ((better, "better"), (worse, "worse"))
        if kinds
    ]
    return f"`{name}`: {', '.join(parts) or 'neither can be told from chance'}."


def _course(stage: dict[str, Any]) -> str:
    """How an update's figures went from the first update to the last."""
    rounds, settings = stage["updates"], stage["settings"]
    first, last = ({key: values[end] for key, values in rounds.items()} for end in (0, -1))
    return (
        f"{len(rounds['score'])} updates of {settings['rollouts']}. Reward (checks, and 0.2 of the model) went from"
        f" {first['score']:.2f} to {last['score']:.2f}, the KL from {first['kl']:.1f} to {last['kl']:.1f} nats an"
        f" answer, its length from {first['length']:.0f} to {last['length']:.0f} tokens. Graph and torch stood at most"
        f" {max(rounds['drift']):.3f} nats a token apart."
    )


def _reward_model(model: dict[str, Any]) -> str:
    held, sure = model["held_out"], model["intervals"]
    return (
        f"**The reward model.** {model['pairs']} simulated pairs to learn from. On {held['pairs']} pairs of"
        f" {model['held_out_inputs']} other inputs it is right in {held['accuracy']:.0%} [{sure['accuracy'][0]:.0%},"
        f" {sure['accuracy'][1]:.0%}]; expected calibration error {held['ece']:.2f} [{sure['ece'][0]:.2f},"
        f" {sure['ece'][1]:.2f}]; Brier score {held['brier']:.3f} [{sure['brier'][0]:.3f}, {sure['brier'][1]:.3f}],"
        f" a coin has 0.25. Intervals are 95 %, over inputs. Its score and an answer's length correlate at"
        f" {model['correlation_with_length']:+.2f}; in the pairs, chosen answers have"
        f" {model['characters']['chosen']:.0f} characters and rejected ones {model['characters']['rejected']:.0f}."
    )


def killed(found: dict[str, Any]) -> str:
    """How often each command was killed, and how often its next start resumed from a checkpoint."""
    rows = [[row["command"], row["seconds"], row["killed"], row["resumed"]] for row in found["commands"]]
    return table(["command", "seconds, unbroken", "killed", "of those starts, went on from a checkpoint"], rows)


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _share(found: dict[str, Any], group: str, precision: str, batch: int) -> str:
    """Of the engine's time, how much reads prompts and how much decodes; the rest chooses tokens."""
    spent = [one[f"{group}, metier engine {precision}, batch {batch}"] for one in found["rounds"]]
    whole = sum(one["seconds"] for one in spent)
    return " / ".join(f"{sum(one[part] for one in spent) / whole:.0%}" for part in ("prefill", "step"))


def _measures(stages: dict[str, Any]) -> Iterable[list[str]]:
    def row(name: str, form: str, *path: str) -> list[str]:
        cells = [[_at(stage[answers], path) for answers in ("drawn", "greedy")] for stage in stages.values()]
        return [name, *(" / ".join("–" if one is None else form.format(one) for one in cell) for cell in cells)]

    for name in stages["sft"]["greedy"]["passes"]:
        yield row(f"passes `{name}`", "{:.0%}", "passes", name)
    for name, key, form in (
        ("chrF to the references", "chrf", "{:.1f}"),
        ("characters", "characters", "{:.0f}"),
        ("characters of the references", "characters_of_references", "{:.0f}"),
        ("answers with brackets", "with_brackets", "{:.0%}"),
        ("distinct answers", "distinct_answers", "{:.0%}"),
        ("commonest opening", "commonest_opening", "{:.0%}"),
        ("distinct pairs of words", "distinct_bigrams", "{:.2f}"),
        ("nats a token under the base", "base_nats_per_token", "{:.2f}"),
    ):
        yield row(f"not rewarded: {name}", form, "not_rewarded", key)


def _at(found: Any, path: Sequence[str]) -> Any:
    for key in path:
        found = found.get(key)
    return found


TABLES = {"rollout": rollout, "reward": reward, "killed": killed}
"""Markers, and the files of results that are named after them."""
