"""The figures of the page on preferences and rewards, from the benchmarks' committed results. It measures nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page
from shipped import ROOT

RESULTS = ROOT / "tests/benchmarks/results"
SAMPLES = 3
"""Held-out inputs whose answers are shown."""


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """mkdocs hands every page over here; those with a marker get what it stands for."""
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
    for asks, batch in sorted({(row["asks"], row["batch"]) for row in found["systems"]}, reverse=True):
        engine = speed[asks, "metier engine", ours, batch]
        others = [speed[asks, "transformers generate", dtype, batch] for dtype in theirs]
        copies = found["answers_to_a_prompt"][asks]
        said = "one to a prompt" if copies == 1 else f"{copies} to a prompt"
        ratios = [f"{engine / other:.1f}" for other in others]
        rows.append([asks.upper(), said, batch, engine, *others, *ratios, _share(found, asks, ours, batch)])
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
    """SFT, reward model, PPO: the figures of every stage, and answers."""
    model, ppo, stages = found["reward_model"], found["ppo"], found["stages"]
    held, sure = model["held_out"], model["intervals"]
    first, last = ppo["length"][0], ppo["length"][-1]
    gain = {
        way: "{mean:+.3f} [{low:+.3f}, {high:+.3f}]".format(**ppo["gain_by_rule"][way]) for way in ("drawn", "greedy")
    }
    said = [
        f"**The reward model.** {model['pairs']} simulated pairs to learn from. On {held['pairs']} pairs of"
        f" {model['held_out_inputs']} other inputs it is right in {held['accuracy']:.0%} [{sure['accuracy'][0]:.0%},"
        f" {sure['accuracy'][1]:.0%}]; expected calibration error {held['ece']:.2f} [{sure['ece'][0]:.2f},"
        f" {sure['ece'][1]:.2f}]; Brier score {held['brier']:.3f} [{sure['brier'][0]:.3f}, {sure['brier'][1]:.3f}],"
        f" a coin has 0.25. Intervals are 95 %, over inputs. Its score and an answer's length correlate at"
        f" {model['correlation_with_length']:+.2f}; in the pairs, chosen answers have"
        f" {model['characters']['chosen']:.0f} characters and rejected ones {model['characters']['rejected']:.0f}.",
        f"**PPO.** {len(ppo['score'])} updates of {ppo['settings']['rollouts']} answers,"
        f" {ppo['seconds'] / 60:.0f} minutes on one core. Reward (checks, and 0.2 of the model) went from"
        f" {ppo['score'][0]:.2f} to {ppo['score'][-1]:.2f}, the KL to the fine-tune from 0 to {ppo['kl'][-1]:.1f} nats"
        f" an answer, its length from {first:.0f} to {last:.0f} tokens. Graph and torch stood at most"
        f" {ppo['drift']:.3f} nats a token apart. By the checks alone, on held-out inputs, drawn answers gained"
        f" {gain['drawn']} ({ppo['gain_by_rule']['drawn_answers_to_an_input']} to an input), greedy ones"
        f" {gain['greedy']}: {_verdict(ppo['gain_by_rule'])}.",
        table(["held-out inputs", *stages], list(_stages(stages))),
    ]
    for number, one in enumerate(stages["sft"]["samples"][:SAMPLES]):
        answers = [f"`{one['input']}`", ""]
        for stage, figures in stages.items():
            sample = figures["samples"][number]
            wrong = f" *({'; '.join(sample['wrong'])})*" if sample["wrong"] else ""
            answers.append(f"- {stage}: {sample['text'].strip()}{wrong}")
        said.append("\n".join(answers))
    return "\n\n".join(said)


def _verdict(gain: dict[str, Any]) -> str:
    sure = [way for way in ("drawn", "greedy") if gain[way]["low"] > 0]
    if not sure:
        return "with so few updates and held-out inputs, neither can be told from chance"
    return f"{' and '.join(sure)} answers are better for sure"


def killed(found: dict[str, Any]) -> str:
    """How often each command was killed, and how often its next start found something to go on from."""
    rows = [[row["command"], row["seconds"], row["killed"], row["resumed"]] for row in found["commands"]]
    return table(["command", "seconds, unbroken", "killed", "of those starts, went on from a checkpoint"], rows)


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _share(found: dict[str, Any], asks: str, precision: str, batch: int) -> str:
    """Of the engine's time, how much reads prompts and how much decodes; the rest chooses tokens."""
    spent = [one[f"{asks}, metier engine {precision}, batch {batch}"] for one in found["rounds"]]
    whole = sum(one["seconds"] for one in spent)
    return " / ".join(f"{sum(one[part] for one in spent) / whole:.0%}" for part in ("prefill", "step"))


def _stages(stages: dict[str, Any]) -> Iterable[list[str]]:
    def row(name: str, cell: Callable[[dict[str, Any]], str]) -> list[str]:
        return [name, *(cell(stage) for stage in stages.values())]

    def both(form: str, *path: str) -> Callable[[dict[str, Any]], str]:
        return lambda stage: " / ".join(form.format(_at(stage[way], path)) for way in ("drawn", "greedy"))

    yield row("reward by the checks, drawn / greedy", both("{:.3f}", "reward_by_rule"))
    yield row("reward model, drawn / greedy", both("{:+.2f}", "reward_model"))
    for name in stages["sft"]["greedy"]["passes"]:
        yield row(f"passes `{name}`, drawn / greedy", both("{:.0%}", "passes", name))
    yield row("KL to the fine-tune, nats an answer", lambda s: f"{s['kl_to_sft']:.2f}" if "kl_to_sft" in s else "–")
    yield row("perplexity of general text, en / zh", lambda s: " / ".join(map(str, s["general_perplexity"].values())))
    for name, key, form in (
        ("chrF to the references", "chrf", "{:.1f}"),
        ("characters", "characters", "{:.0f}"),
        ("characters of the references", "characters_of_references", "{:.0f}"),
        ("answers with brackets", "with_brackets", "{:.0%}"),
        ("distinct answers", "distinct_answers", "{:.0%}"),
        ("commonest opening", "commonest_opening", "{:.0%}"),
        ("distinct pairs of words", "distinct_bigrams", "{:.2f}"),
    ):
        yield row(f"not rewarded: {name}, drawn / greedy", both(form, "not_rewarded", key))
    yield row("not rewarded: nats a token under the base", lambda s: f"{s['greedy']['base_nats_per_token']:.2f}")


def _at(found: Any, path: Sequence[str]) -> Any:
    for key in path:
        found = found[key]
    return found


TABLES = {"rollout": rollout, "reward": reward, "killed": killed}
"""Markers, and the files of results that are named after them."""
