"""SFT → reward model → PPO on adcopy.describe: what each step gains, what it costs, and whether it games the reward.

    python tests/benchmarks/reward.py OUT [--updates 16] [--answers 4] [--json]

Every stage leaves its result in OUT and is not done twice; a killed stage goes on where it was. The fine-tune is the
one that the plugin packages, the inputs are the packaged English ones: the base reads no Chinese to speak of. **The
preferences are simulated**: of two answers drawn from the fine-tune to one training input, the one that the trade's
checks find more wrong with is the rejected one; among such pairs those are taken that keep chosen and rejected answers
equally long on the whole, so that length alone tells a reward model nothing. The reward of PPO is the checks (weight 1)
and the reward model (weight 0.2, standardised).

Measured on held-out inputs, drawn at temperature 1 and greedy: mean reward by rule, pass rate of each check, the reward
model's view, KL to the fine-tune, perplexity of general text (forgetting). And what would show a gamed reward, none of
which is rewarded: chrF against the references, length, how much of the copy is brackets or keys taken over from the
input, how many answers are the same or begin alike, and what the base itself thinks of the text (nats a token).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

import metier.bases.threads  # noqa: F401  before torch
from metier.contracts import RewardModelling

DRAWN = 8
"""Answers drawn to each held-out input where the gain of PPO is told from chance."""
SIDES = ("chosen", "rejected")
MODELLING = RewardModelling(epochs=3, learning_rate=4e-4, checkpoint_seconds=45)


def main() -> None:
    """Run the stages that are missing; print the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--updates", type=int, default=16)
    parser.add_argument("--answers", type=int, default=4, help="answers drawn to each training input for preferences")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    report = Story(asked).tell()
    (asked.out / "report.json").write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n", "utf-8")
    if asked.json:
        return print(json.dumps(report, ensure_ascii=False, indent=1))
    return show(report)


class Story:
    """The stages, each of which finds what the earlier ones left."""

    def __init__(self, asked: argparse.Namespace) -> None:
        from metier.align import rollout_bundle, rule_reward
        from metier.bases import load_finetune, resolve
        from metier.data.training import training_data
        from metier.plugins import load_plugins

        self.asked, self.out = asked, asked.out
        self.vertical, self.task = load_plugins().task("adcopy.describe")
        self.checks = self.vertical.checks_for(self.task.name)
        (packaged,) = (f for f in self.vertical.fine_tunes if self.task.name in {t.name for t in f.card.tasks})
        self.sft = load_finetune(packaged.path)
        self.base = resolve(self.sft.card.base.id, revision=self.sft.card.base.revision)
        data = training_data(self.vertical, self.task)
        self.train, self.held_out = ([s for s in found if english(s)] for found in (data.train, data.held_out))
        self.bundle = rollout_bundle(self.base, progress=say)
        self.rule = rule_reward(self.checks)

    def tell(self) -> dict[str, Any]:
        """All stages in order, and what they came to."""
        import torch

        from metier.align import load_reward, model_reward, read_preferences, reinforce, train_reward, weighted
        from metier.align.pairs import split_pairs
        from metier.align.updates import LOG, read
        from metier.contracts import Ppo

        file = self.out / "preferences.jsonl"
        if not file.exists():
            say("drawing answers for preferences")
            pairs = self.preferences()
            part = file.with_suffix(".part")
            part.write_text("".join(p.model_dump_json() + "\n" for p in pairs), "utf-8")
            part.replace(file)
        learnt, apart = split_pairs(read_preferences(file), 0.25, seed=0)
        say(f"reward model: {len(learnt)} pairs to learn from, {len(apart)} held out")
        card = train_reward(
            self.sft, learnt, apart, self.out / "reward", MODELLING, base=self.base,
            progress=lambda p: say(f"reward model {p.step}/{p.steps} loss {p.loss:.3f}"),
        )  # fmt: skip
        model = load_reward(self.out / "reward", base=self.base)
        before = {"base": self.measured("base", None, model), "sft": self.measured("sft", self.sft, model)}
        settings = Ppo(
            updates=self.asked.updates, rollouts=32, batch_size=16, epochs=2, learning_rate=2e-4, max_tokens=96,
            kl_weight=0.05, kl_target=4.0, kl_horizon=200, checkpoint_seconds=45,
        )  # fmt: skip
        tuned = reinforce(
            self.sft, self.train, weighted([(1.0, self.rule), (0.2, model_reward(model))]), self.out / "ppo", settings,
            base=self.base, held_out=self.held_out,
            progress=lambda u, n: say(f"ppo {u.update}/{n} reward {u.score:.3f} kl {u.kl:.2f} drift {u.drift:.4f}"),
        )  # fmt: skip
        stages = {**before, "ppo": self.measured("ppo", tuned, model)}
        gain = {
            "drawn": interval([self.often("ppo", tuned), self.often("sft", self.sft)]),
            "greedy": interval([stages[name]["greedy"]["rewards"] for name in ("ppo", "sft")]),
        }
        updates = read(tuned.path / LOG)
        return {
            "benchmark": "reward",
            "command": f"python tests/benchmarks/reward.py OUT --updates {self.asked.updates}",
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
            "threads": torch.get_num_threads(),
            "versions": {n: version(n) for n in ("torch", "transformers", "trl", "peft", "onnxruntime-gpu")},
            "base": self.base.card.id,
            "preferences": "simulated by the checks",
            "inputs": {"train": len(distinct(self.train)), "held_out": len(distinct(self.held_out))},
            "reward_model": self.judged(card, model, learnt, apart),
            "ppo": {
                "settings": settings.model_dump(),
                "seconds": tuned.card.training["seconds"],
                "score": [round(u.score, 4) for u in updates],
                "kl": [round(u.kl, 3) for u in updates],
                "length": [round(u.length, 1) for u in updates],
                "drift": max(u.drift for u in updates),
                "gain_by_rule": {**gain, "drawn_answers_to_an_input": DRAWN},
            },
            "stages": stages,
        }

    def preferences(self) -> list[Any]:
        """At most two pairs an input, of answers that the checks tell apart."""
        from metier.align.rewards import Answer
        from metier.align.rollout import Rollouts
        from metier.contracts import Preference

        adapted = self.policy(self.sft)
        with Rollouts(self.bundle, rows=16) as rollouts:
            rollouts.wear(adapted)
            asked = [(s, rollouts.prompt(self.task, s.input, s.language)) for s in distinct(self.train)]
            repeated = [one for one in asked for _ in range(self.asked.answers)]
            drawn = rollouts.draw([prompt for _, prompt in repeated], max_tokens=96, seed=7)
        answers = [
            Answer(task=self.task, input=s.input, prompt=r.prompt, reply=r.reply, text=r.text, ended=r.ended)
            for (s, _), r in zip(repeated, drawn, strict=True)
        ]
        scores = self.rule(answers)
        found: list[Preference] = []
        longer = 0  # characters that the chosen answers so far have more than the rejected ones
        for i, (sample, _) in enumerate(asked):
            group = range(i * self.asked.answers, (i + 1) * self.asked.answers)
            told_apart = [(a, b) for a, b in permutations(group, 2) if scores[a] > scores[b] and answers[b].output]
            for _ in range(min(2, len(told_apart))):
                more = {(a, b): len(answers[a].text) - len(answers[b].text) for a, b in told_apart}
                better, worse = min(told_apart, key=lambda pair: abs(longer + more[pair]))
                told_apart.remove((better, worse))
                longer += more[better, worse]
                found.append(
                    Preference(
                        task=self.task.name, input=sample.input, chosen=answers[better].output or {},
                        rejected=answers[worse].output or {}, language=sample.language,
                    )
                )  # fmt: skip
        return found

    def judged(self, card: Any, model: Any, learnt: list[Any], apart: list[Any]) -> dict[str, Any]:
        """The reward model on held-out pairs, with 95% intervals over their inputs, and what length has to do with
        it."""
        from metier.align.calibration import pair_figures
        from metier.align.pairs import encode_pairs

        pairs = encode_pairs(self.bundle.tokenizer, {self.task.name: self.task}, apart, 512)
        chosen, rejected = (model.score([[*p.prompt, *getattr(p, side)] for p in pairs]) for side in SIDES)
        margins = np.subtract(chosen, rejected)
        inputs = np.unique([json.dumps(p.input, sort_keys=True) for p in apart], return_inverse=True)[1]
        chance, drawn = np.random.default_rng(0), []
        for _ in range(2000):
            picked = chance.integers(0, inputs.max() + 1, inputs.max() + 1)
            drawn.append(pair_figures(np.concatenate([margins[inputs == one] for one in picked]).tolist()))
        lengths = [len(getattr(p, side)["text"]) for side in SIDES for p in apart]
        return {
            "settings": card.settings.model_dump(),
            "pairs": card.count,
            "held_out": card.held_out.model_dump(),
            "held_out_inputs": int(inputs.max()) + 1,
            "intervals": {
                name: [round(float(q), 3) for q in np.quantile([getattr(d, name) for d in drawn], [0.025, 0.975])]
                for name in ("accuracy", "ece", "brier")
            },
            "characters": {
                side: round(statistics.mean(len(getattr(p, side)["text"]) for p in [*learnt, *apart]), 1)
                for side in SIDES
            },
            "correlation_with_length": round(float(np.corrcoef([*chosen, *rejected], lengths)[0, 1]), 3),
            **card.training,
        }

    def policy(self, finetune: Any) -> Any:
        """The fine-tune in torch; None is the base, as a LoRA whose B is zero."""
        from metier.align.start import trainable
        from metier.contracts import Ppo

        return trainable(self.base, finetune or self.sft.card.recipe, Ppo(precision="auto")).eval()

    def measured(self, name: str, finetune: Any, model: Any) -> dict[str, Any]:
        """Figures of one stage on held-out inputs, from its file where they were taken before."""
        file = self.out / f"figures.{name}.json"
        if not file.exists():
            say(f"measuring {name}")
            file.write_text(json.dumps(self.measure(finetune, model), ensure_ascii=False, indent=1), "utf-8")
        return json.loads(file.read_text("utf-8"))

    def often(self, name: str, finetune: Any) -> list[float]:
        """Mean reward by rule of `DRAWN` answers to each held-out input: one answer says little of a policy."""
        from metier.align.rewards import Answer
        from metier.align.rollout import Rollouts

        file = self.out / f"rewards.{name}.json"
        if not file.exists():
            say(f"drawing {DRAWN} answers of {name} to each held-out input")
            inputs = [s for s in distinct(self.held_out) for _ in range(DRAWN)]
            with Rollouts(self.bundle, rows=16) as rollouts:
                rollouts.wear(self.policy(finetune))
                prompts = [rollouts.prompt(self.task, s.input, s.language) for s in inputs]
                drawn = rollouts.draw(prompts, max_tokens=96, seed=13)
            answers = [
                Answer(task=self.task, input=s.input, prompt=r.prompt, reply=r.reply, text=r.text, ended=r.ended)
                for s, r in zip(inputs, drawn, strict=True)
            ]
            rewards = np.reshape(self.rule(answers), (-1, DRAWN)).mean(1)
            file.write_text(json.dumps(rewards.round(4).tolist()), "utf-8")
        found: list[float] = json.loads(file.read_text("utf-8"))
        return found

    def measure(self, finetune: Any, model: Any) -> dict[str, Any]:
        import torch

        from metier.adapt.examples import Example
        from metier.align.policy import Policy
        from metier.align.rewards import Answer
        from metier.align.rollout import Rollouts
        from metier.evaluate.forgetting import likelihoods

        adapted = self.policy(finetune)
        inputs = distinct(self.held_out)
        told: dict[str, Any] = {}
        with Rollouts(self.bundle, rows=16) as rollouts:
            rollouts.wear(adapted)
            prompts = [rollouts.prompt(self.task, s.input, s.language) for s in inputs]
            for way, temperature in (("drawn", 1.0), ("greedy", 0.0)):
                drawn = rollouts.draw(prompts, max_tokens=96, seed=11, temperature=temperature)
                answers = [
                    Answer(task=self.task, input=s.input, prompt=r.prompt, reply=r.reply, text=r.text, ended=r.ended)
                    for s, r in zip(inputs, drawn, strict=True)
                ]
                told[way] = self.figures(answers, model)
                if way == "drawn" and finetune is not None:
                    start, now = Policy(self.policy(self.sft), 0, "start"), Policy(adapted, 0, "start")
                    examples = [Example(a.prompt, a.reply) for a in answers]
                    with torch.no_grad():
                        (here, _, mask), (there, _, _) = now.look(examples, 16), start.look(examples, 16)
                    told["kl_to_sft"] = round(float(((here - there) * mask).sum(1).mean()), 3)
                    del start
                if way == "greedy":
                    bare = Policy(self.policy(None), 0, "base")
                    with torch.no_grad():
                        logprobs, _, mask = bare.look([Example(a.prompt, a.reply) for a in answers], 16)
                    told[way]["base_nats_per_token"] = round(float(-(logprobs * mask).sum() / mask.sum()), 3)
                    told["samples"] = [
                        {"input": a.input["facts"], "text": a.text, "wrong": self.wrong(a)} for a in answers[:6]
                    ]
        general = likelihoods(adapted.float(), self.bundle.tokenizer)
        told["general_perplexity"] = {language: round(found.perplexity, 2) for language, found in general.items()}
        return told

    def wrong(self, answer: Any) -> list[str]:
        from metier.contracts import run_checks

        found = run_checks(self.checks, answer.input, answer.output)
        return [f"{name}: {finding.message}" for name, findings in found.items() for finding in findings]

    def figures(self, answers: list[Any], model: Any) -> dict[str, Any]:
        from sacrebleu.metrics import CHRF

        from metier.contracts import run_checks

        references: dict[str, list[str]] = {}
        for s in self.held_out:
            references.setdefault(json.dumps(s.input, sort_keys=True), []).append(s.output["text"])
        own = [references[json.dumps(a.input, sort_keys=True)] for a in answers]
        most = max(map(len, own))
        aligned = [[refs[min(k, len(refs) - 1)] for refs in own] for k in range(most)]
        texts = [a.text for a in answers]
        found = [run_checks(self.checks, a.input, a.output) for a in answers]
        model_view = model.standard([[*a.prompt, *a.reply] for a in answers])
        openings = Counter(" ".join(text.split()[:3]) for text in texts)
        rewards = self.rule(answers)
        return {
            "answers": len(answers),
            "rewards": [round(reward, 4) for reward in rewards],
            "reward_by_rule": round(statistics.mean(rewards), 4),
            "reward_model": round(sum(model_view) / len(answers), 3),
            "ended": round(sum(a.ended for a in answers) / len(answers), 3),
            "passes": {c.name: round(sum(not f[c.name] for f in found) / len(found), 3) for c in self.checks},
            "not_rewarded": {
                "chrf": round(CHRF().corpus_score(texts, aligned).score, 1),
                "characters": round(sum(map(len, texts)) / len(texts), 1),
                "characters_of_references": round(statistics.mean(len(ref) for refs in own for ref in refs), 1),
                "with_brackets": round(sum(bool(re.search(r"[\[\]]", t)) for t in texts) / len(texts), 3),
                "distinct_answers": round(len(set(texts)) / len(texts), 3),
                "commonest_opening": round(openings.most_common(1)[0][1] / len(texts), 3),
                "distinct_bigrams": round(distinct_bigrams(texts), 3),
            },
        }


def interval(rewards: list[list[float]]) -> dict[str, float]:
    """Mean difference of two stages' rewards on the same inputs, with its 95% interval over inputs (bootstrap)."""
    more = np.subtract(*rewards)
    picked = np.random.default_rng(0).integers(0, len(more), (10_000, len(more)))
    low, high = np.quantile(more[picked].mean(1), [0.025, 0.975])
    return {"mean": round(float(more.mean()), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def english(sample: Any) -> bool:
    """Whether the brief asks for English copy."""
    return sample.input.get("language", "en") == "en"


def distinct(samples: list[Any]) -> list[Any]:
    """The first sample of each input."""
    return list({json.dumps(s.input, sort_keys=True): s for s in reversed(samples)}.values())[::-1]


def distinct_bigrams(texts: list[str]) -> float:
    """Different pairs of neighbouring words over all pairs: falls when answers become one template."""
    pairs = [pair for text in texts for pair in zip(text.split(), text.split()[1:], strict=False)]
    return len(set(pairs)) / max(1, len(pairs))


def show(report: dict[str, Any]) -> None:
    """The report in short; `sdk/docs/alignment.py` makes its tables."""
    held, ppo = report["reward_model"]["held_out"], report["ppo"]
    print(f"reward model: right on {held['accuracy']:.0%} of {held['pairs']} held-out pairs, Brier {held['brier']:.3f}")
    print(f"PPO: reward by update {ppo['score']}, KL {ppo['kl']}, gain by rule {ppo['gain_by_rule']}")
    for stage, found in report["stages"].items():
        for way in ("drawn", "greedy"):
            one, other = found[way], found[way]["not_rewarded"]
            print(
                f"{stage:5} {way:6}  reward {one['reward_by_rule']:.3f}  model {one['reward_model']:+.2f}"
                f"  chrF {other['chrf']}  characters {other['characters']}  passes {one['passes']}"
            )


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
