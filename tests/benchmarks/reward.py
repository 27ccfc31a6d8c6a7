"""SFT → reward model → PPO on adcopy.describe: what each step gains, what it costs, and whether it games the reward.

    python tests/benchmarks/reward.py OUT [--updates 24] [--inputs 64] [--answers 3] [--limit 40] [--json]

Every stage leaves its result in OUT and is not done twice; a killed stage goes on where it was. The fine-tune is the
one that the plugin packages. **The preferences are simulated**: of several answers drawn from it to one training input,
the one that the trade's checks find more wrong with is the rejected one. The reward of PPO is the checks (weight 1) and
the reward model (weight 0.2, standardised).

Measured on held-out inputs, drawn at temperature 1 and greedy: mean reward by rule, pass rate of each check, the reward
model's view, KL to the fine-tune, perplexity of general text (forgetting). And what would show a gamed reward, none of
which is rewarded: chrF against the references, length, how much of the copy is brackets or keys taken over from the
input, how many answers are the same or begin alike, and what the base itself thinks of the text (nats a token).
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import metier.bases.threads  # noqa: F401  before torch


def main() -> None:
    """Run the stages that are missing; print the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--updates", type=int, default=24)
    parser.add_argument("--inputs", type=int, default=64, help="training inputs that preferences are drawn for")
    parser.add_argument("--answers", type=int, default=3, help="answers drawn to each of them")
    parser.add_argument("--limit", type=int, default=40, help="held-out inputs to measure on")
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
        from metier.data.training import first_inputs, training_data
        from metier.plugins import load_plugins

        self.asked, self.out = asked, asked.out
        self.vertical, self.task = load_plugins().task("adcopy.describe")
        self.checks = self.vertical.checks_for(self.task.name)
        (packaged,) = (f for f in self.vertical.fine_tunes if self.task.name in {t.name for t in f.card.tasks})
        self.sft = load_finetune(packaged.path)
        self.base = resolve(self.sft.card.base.id, revision=self.sft.card.base.revision)
        data = training_data(self.vertical, self.task)
        self.train, self.all_held_out = data.train, data.held_out
        self.held_out = first_inputs(data.held_out, asked.limit)
        self.bundle = rollout_bundle(self.base, progress=say)
        self.rule = rule_reward(self.checks)

    def tell(self) -> dict[str, Any]:
        """All stages in order, and what they came to."""
        from metier.align import load_reward, model_reward, read_preferences, reinforce, train_reward, weighted
        from metier.align.pairs import split_pairs
        from metier.align.updates import LOG, read
        from metier.contracts import Ppo, RewardModelling

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
            self.sft, learnt, apart, self.out / "reward", RewardModelling(epochs=2, checkpoint_seconds=45),
            base=self.base, progress=lambda p: say(f"reward model {p.step}/{p.steps} loss {p.loss:.3f}"),
        )  # fmt: skip
        model = load_reward(self.out / "reward", base=self.base)
        before = {"base": self.measured("base", None, model), "sft": self.measured("sft", self.sft, model)}
        settings = Ppo(
            updates=self.asked.updates, rollouts=32, batch_size=16, epochs=2, learning_rate=2e-4, max_tokens=96,
            kl_weight=0.05, kl_target=4.0, kl_horizon=200, checkpoint_seconds=45,
        )  # fmt: skip
        tuned = reinforce(
            self.sft, self.train, weighted([(1.0, self.rule), (0.2, model_reward(model))]), self.out / "ppo", settings,
            base=self.base, held_out=self.all_held_out,
            progress=lambda u, n: say(f"ppo {u.update}/{n} reward {u.score:.3f} kl {u.kl:.2f} drift {u.drift:.4f}"),
        )  # fmt: skip
        stages = {**before, "ppo": self.measured("ppo", tuned, model)}
        updates = read(tuned.path / LOG)
        return {
            "benchmark": "reward",
            "base": self.base.card.id,
            "preferences": "simulated by the checks",
            "reward_model": {"pairs": card.count, "held_out": card.held_out.model_dump(), **card.training},
            "ppo": {
                "settings": settings.model_dump(),
                "seconds": tuned.card.training["seconds"],
                "score": [round(u.score, 4) for u in updates],
                "kl": [round(u.kl, 3) for u in updates],
                "drift": max(u.drift for u in updates),
            },
            "stages": stages,
        }

    def preferences(self) -> list[Any]:
        """Pairs of answers that the checks tell apart."""
        from metier.align.rewards import Answer
        from metier.align.rollout import Rollouts
        from metier.contracts import Preference
        from metier.data.training import first_inputs

        inputs = distinct(first_inputs(self.train, self.asked.inputs))
        adapted = self.policy(self.sft)
        found = []
        with Rollouts(self.bundle, rows=16) as rollouts:
            rollouts.wear(adapted)
            asked = [(s, rollouts.prompt(self.task, s.input, s.language)) for s in inputs]
            repeated = [one for one in asked for _ in range(self.asked.answers)]
            drawn = rollouts.draw([prompt for _, prompt in repeated], max_tokens=96, seed=7)
        answers = [
            Answer(task=self.task, input=s.input, prompt=r.prompt, reply=r.reply, text=r.text, ended=r.ended)
            for (s, _), r in zip(repeated, drawn, strict=True)
        ]
        scores = self.rule(answers)
        for i, (sample, _) in enumerate(asked):
            group = range(i * self.asked.answers, (i + 1) * self.asked.answers)
            best, worst = max(group, key=scores.__getitem__), min(group, key=scores.__getitem__)
            if scores[best] > scores[worst] and answers[worst].output is not None:
                found.append(
                    Preference(
                        task=self.task.name, input=sample.input, chosen=answers[best].output or {},
                        rejected=answers[worst].output or {}, language=sample.language,
                    )
                )  # fmt: skip
        return found

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
        for s in self.all_held_out:
            references.setdefault(json.dumps(s.input, sort_keys=True), []).append(s.output["text"])
        own = [references[json.dumps(a.input, sort_keys=True)] for a in answers]
        most = max(map(len, own))
        aligned = [[refs[min(k, len(refs) - 1)] for refs in own] for k in range(most)]
        texts = [a.text for a in answers]
        found = [run_checks(self.checks, a.input, a.output) for a in answers]
        model_view = model.standard([[*a.prompt, *a.reply] for a in answers])
        openings = Counter(" ".join(text.split()[:3]) for text in texts)
        return {
            "answers": len(answers),
            "reward_by_rule": round(sum(self.rule(answers)) / len(answers), 4),
            "reward_model": round(sum(model_view) / len(answers), 3),
            "ended": round(sum(a.ended for a in answers) / len(answers), 3),
            "passes": {c.name: round(sum(not f[c.name] for f in found) / len(found), 3) for c in self.checks},
            "not_rewarded": {
                "chrf": round(CHRF().corpus_score(texts, aligned).score, 1),
                "characters": round(sum(map(len, texts)) / len(texts), 1),
                "with_brackets": round(sum(bool(re.search(r"[\[\]]", t)) for t in texts) / len(texts), 3),
                "distinct_answers": round(len(set(texts)) / len(texts), 3),
                "commonest_opening": round(openings.most_common(1)[0][1] / len(texts), 3),
                "distinct_bigrams": round(distinct_bigrams(texts), 3),
            },
        }


def distinct(samples: list[Any]) -> list[Any]:
    """The first sample of each input."""
    return list({json.dumps(s.input, sort_keys=True): s for s in reversed(samples)}.values())[::-1]


def distinct_bigrams(texts: list[str]) -> float:
    """Different pairs of neighbouring words over all pairs: falls when answers become one template."""
    pairs = [pair for text in texts for pair in zip(text.split(), text.split()[1:], strict=False)]
    return len(set(pairs)) / max(1, len(pairs))


def show(report: dict[str, Any]) -> None:
    """The report as Markdown."""
    held, ppo = report["reward_model"]["held_out"], report["ppo"]
    print(
        f"Reward model: {report['reward_model']['pairs']} pairs; right on {held['accuracy']:.0%} of {held['pairs']}",
        end="",
    )
    print(f" held-out pairs, calibration error {held['ece']:.2f}, Brier score {held['brier']:.3f} (a coin has 0.25).\n")
    print(
        f"PPO: {len(ppo['score'])} updates of {ppo['settings']['rollouts']} answers in {ppo['seconds']:.0f} s;", end=" "
    )
    print(f"reward by update {ppo['score']}, KL {ppo['kl']}, graph against torch at most {ppo['drift']:.3f} nats.\n")
    stages = report["stages"]

    def both(stage: Any, *path: str, form: str) -> str:
        found = [stage[way] for way in ("drawn", "greedy")]
        for key in path:
            found = [one[key] for one in found]
        return " / ".join(form.format(one) for one in found)

    rows: list[tuple[str, Any]] = [
        ("reward by rule, drawn / greedy", lambda s: both(s, "reward_by_rule", form="{:.3f}")),
        ("reward model, drawn / greedy", lambda s: both(s, "reward_model", form="{:+.2f}")),
        *(
            (f"passes {name}, drawn / greedy", lambda s, name=name: both(s, "passes", name, form="{:.0%}"))
            for name in stages["sft"]["greedy"]["passes"]
        ),
        ("KL to the fine-tune, nats an answer", lambda s: f"{s['kl_to_sft']:.2f}" if "kl_to_sft" in s else "–"),
        ("perplexity of general text, en / zh", lambda s: " / ".join(map(str, s["general_perplexity"].values()))),
        ("not rewarded: chrF", lambda s: s["greedy"]["not_rewarded"]["chrf"]),
        ("not rewarded: characters", lambda s: s["greedy"]["not_rewarded"]["characters"]),
        ("not rewarded: answers with brackets", lambda s: f"{s['greedy']['not_rewarded']['with_brackets']:.0%}"),
        ("not rewarded: distinct answers", lambda s: f"{s['greedy']['not_rewarded']['distinct_answers']:.0%}"),
        ("not rewarded: commonest opening", lambda s: f"{s['greedy']['not_rewarded']['commonest_opening']:.0%}"),
        ("not rewarded: distinct bigrams", lambda s: s["greedy"]["not_rewarded"]["distinct_bigrams"]),
        ("not rewarded: nats a token under the base", lambda s: s["greedy"]["base_nats_per_token"]),
    ]  # fmt: skip
    print("| held-out inputs | " + " | ".join(stages) + " |\n|---" * 1 + "|---" * len(stages) + "|")
    for name, cell in rows:
        print(f"| {name} | " + " | ".join(str(cell(stage)) for stage in stages.values()) + " |")
    for index, asked in enumerate(sample["input"] for sample in stages["sft"]["samples"]):
        print(f"\n**{asked}**\n")
        for stage, found in stages.items():
            sample = found["samples"][index]
            print(f"- {stage}: {sample['text']}" + (f" *({'; '.join(sample['wrong'])})*" if sample["wrong"] else ""))


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
