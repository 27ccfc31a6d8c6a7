"""Two tables of both READMEs: what each shipped fine-tune gains, and one real answer of each trade. They come from the
fine-tunes' cards, a committed benchmark and the recorded answers; nothing is measured here.

    python sdk/docs/gains.py      # writes both between the markers of README.md and README.zh-CN.md
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from shipped import ROOT, shipped, trades

from metier.contracts import FineTuneCard, Modality, TaskContract

SPEED = ROOT / "tests/benchmarks/results/decode_cpu.json"
BEGIN, END = "<!-- gains: python sdk/docs/gains.py -->", "<!-- /gains -->"
ANSWERS_BEGIN, ANSWERS_END = "<!-- answers: python sdk/docs/gains.py -->", "<!-- /answers -->"
ANSWERS = ROOT / "sdk/docs/answers"
MAIN_TASKS = {
    "adcopy": "adcopy.describe",
    "support": "support.reply",
    "npc": "npc.bark",
    "screenplay": "screenplay.scene",
}
READMES = {"en": ROOT / "README.md", "zh": ROOT / "README.zh-CN.md"}

TITLES = {
    "bleu": "BLEU",
    "chrf": "chrF",
    "rouge_l": "ROUGE-L",
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "exact_match": "exact match",
    "span_f1": "span F1",
    "field_f1": "field F1",
}
"""As `metier evaluate` heads them, without the library's name."""

_WORDS = {
    "en": {
        "head": "| task | in → out | metric | prompted: zero-shot, few-shot | fine-tuned | tokens/s |",
        "answers": "| task | input | answer | findings |",
        "none": "none ships",
        "unmeasured": "ships, not measured yet",
        "note": "Held-out inputs, greedy decoding; 95 % intervals, bold where above both prompted figures. tokens/s:\n"
        "merged {precision} bundle, batch 1, {prompt} prompt and {new} new tokens, {machine} (`{file}`).",
    },
    "zh": {
        "head": "| 任务 | 输入 → 输出 | 指标 | 只用提示：零样本、少样本 | 微调后 | 词元/秒 |",
        "answers": "| 任务 | 输入 | 回答 | 检查发现 |",
        "none": "未随附",
        "unmeasured": "随附，尚未测量",
        "note": "留出输入，贪心解码；95 % 区间高于两个提示结果时加粗。词元/秒：合并后的 {precision} 部署包，\n"
        "批大小 1，提示 {prompt} 个、生成 {new} 个词元，机器为 {machine}（`{file}`）。",
    },
}
_MODALITIES = {
    "en": {m: m.value for m in Modality},
    "zh": dict(zip(Modality, ("文本", "图像", "语音", "视频", "三维"), strict=True)),
}


class Gain(NamedTuple):
    """One task's main metric, as its card has it."""

    metric: str
    before: tuple[float, ...]
    """Zero-shot, and few-shot where it was measured."""
    after: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Whether the fine-tune's interval lies above everything that a prompt alone gave."""
        return self.low > max(self.before)


def gain_of(task: TaskContract, card: FineTuneCard) -> Gain | None:
    """What a fine-tune gains on a task, by the first of the task's metrics; None where it was not measured."""
    measured: Any = card.metrics.get(task.name)
    if not measured or "after" not in measured:
        return None
    wanted: Iterable[str] = [*task.metrics, *(name for name in measured["after"] if "." not in name)]
    metric = next(name for name in wanted if name in measured["after"])
    after = measured["after"][metric]
    before = [measured[key][metric]["value"] for key in ("before", "before_few_shot") if key in measured]
    return Gain(metric, tuple(before), after["value"], after["low"], after["high"])


def speed() -> dict[str, Any]:
    """The committed decoding benchmark, and in `tokens_per_second` what our runtime gave in int4."""
    benchmark: dict[str, Any] = json.loads(SPEED.read_text("utf-8"))
    (ours,) = [row for row in benchmark["systems"] if (row["system"], row["precision"]) == ("metier", "int4")]
    return benchmark | {"tokens_per_second": ours["tokens_per_second"], "precision": "int4"}


def table(language: str) -> str:
    """The table and its note, in markdown."""
    words, names, bench = _WORDS[language], _MODALITIES[language], speed()
    lines = [words["head"], "|" + "---|" * 6]
    for vertical in trades():
        for task in vertical.tasks:
            sides = (
                " + ".join(names[m] for m in Modality if m in side)
                for side in (task.modalities_in, task.modalities_out)
            )
            fine_tune = shipped(vertical, task)
            gain = gain_of(task, fine_tune.card) if fine_tune else None
            cells = ["", "", words["unmeasured" if fine_tune else "none"], ""]
            if gain and fine_tune:
                after = f"{gain.after:.1f}"
                rate = f"{bench['tokens_per_second']:.0f}" if fine_tune.card.base.id == bench["base"] else ""
                cells = [
                    TITLES.get(gain.metric, gain.metric),
                    ", ".join(f"{figure:.1f}" for figure in gain.before),
                    f"{f'**{after}**' if gain.certain else after} [{gain.low:.1f}, {gain.high:.1f}]",
                    rate,
                ]
            lines.append(f"| `{task.name}` | {' → '.join(sides)} | {' | '.join(cells)} |")
    note = words["note"].format(
        precision=bench["precision"],
        prompt=bench["prompt_tokens"],
        new=bench["new_tokens"],
        machine=bench["machine"],
        file=SPEED.relative_to(ROOT).as_posix(),
    )
    return "\n".join([*lines, "", note])


def answers(language: str) -> str:
    """The first recorded answer of each trade's main task in a language, with how many findings its checks have."""
    lines = [_WORDS[language]["answers"], "|" + "---|" * 4]
    for trade, task in MAIN_TASKS.items():
        recorded = json.loads((ANSWERS / f"{trade}.json").read_text("utf-8"))["answers"]
        answer = next(one for one in recorded if (one["task"], one["language"]) == (task, language))
        given = {name: value for name, value in answer["input"].items() if name != "language"}
        found = sum(map(len, answer["checks"].values()))
        lines.append(f"| `{task}` | {_cell(given)} | {_cell(answer['output'])} | {found} |")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    """A value as the text of one table cell, of at most 160 characters."""
    only = next(iter(value.values())) if len(value) == 1 else value
    text = only if isinstance(only, str) else json.dumps(only, ensure_ascii=False)
    text = " ".join(text.split()).replace("|", "\\|")
    return text if len(text) <= 160 else f"{text[:159]}…"


def sections(language: str) -> dict[tuple[str, str], str]:
    """Markers → the text between them in a README."""
    return {(BEGIN, END): table(language), (ANSWERS_BEGIN, ANSWERS_END): answers(language)}


def between(path: Path, begin: str, end: str) -> str:
    """The text between two markers of a README."""
    return path.read_text("utf-8").partition(begin)[2].partition(end)[0].strip()


def main() -> None:
    """Write both READMEs."""
    for language, path in READMES.items():
        for (begin, end), text in sections(language).items():
            before, _, rest = path.read_text("utf-8").partition(begin)
            path.write_text(f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}", "utf-8")


if __name__ == "__main__":
    main()
