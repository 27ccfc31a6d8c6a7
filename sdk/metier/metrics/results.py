"""An evaluation's result as data: metrics with intervals, answers side by side, forgetting, training losses.

Everything here serialises to JSON and back; measuring and drawing are other modules' work.
"""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, Field, JsonValue

from metier.contracts import SCHEMA_VERSION, Base, Finding, FineTuneCard, Value
from metier.contracts.schema import Data

BASE_ZERO_SHOT = "base_zero_shot"
BASE_FEW_SHOT = "base_few_shot"
MOST_FREQUENT = "most_frequent"
"""Replaces them where the base cannot be prompted."""
FINE_TUNE = "fine_tune"
BUNDLE = "bundle"


class Interval(Data):
    """A figure and its bootstrap interval: percentiles over resampled inputs, widened to include the figure itself."""

    value: float
    low: float
    high: float


class Difference(Data):
    """One system's figure minus another's, resampled together (paired bootstrap, Koehn 2004)."""

    system: str
    against: str
    interval: Interval
    better: float = Field(ge=0, le=1)
    """Share of resamples in which `system` is strictly better than `against`."""

    @property
    def certain(self) -> bool:
        """Whether the interval excludes zero."""
        return self.interval.low > 0 or self.interval.high < 0


class MetricReport(Data):
    """One metric over all systems."""

    name: str
    title: str
    kind: Literal["task", "check"]
    higher_is_better: bool
    unit: Literal["points", "percent", "count"]
    """points and percent run from 0 to 100, unless a plugin's metric says otherwise; count is per answer."""
    signature: str | None = None
    """The library's own description of the computation, for others to repeat it."""
    values: dict[str, Interval]
    """System → figure."""
    references: float | None = None
    """The reference answers' own value, for checks: what people reach."""
    differences: tuple[Difference, ...] = ()


class ReportedAnswer(Data):
    """One system's answer to one input."""

    text: str
    output: Value | None
    """None where the text is no valid reply of the contract."""
    problem: str | None = None
    """Why there is no output."""
    findings: dict[str, tuple[Finding, ...]] = {}
    """Check → findings; empty where it passed."""
    tokens: int = Field(ge=0)
    finished: bool = True
    """False where the reply was cut at the task's `max_reply_tokens`."""


class Row(Data):
    """One held-out input, its references, and each system's answer."""

    input: Value
    language: str
    references: tuple[Value, ...]
    reference_texts: tuple[str, ...]
    answers: dict[str, ReportedAnswer]
    place: str | None = None
    """Where the sample came from, such as `devset.csv:17`."""


class SystemReport(Data):
    """One system that answered all inputs."""

    name: str
    title: str
    detail: str
    seconds: float
    """Wall time of answering, loading left out."""
    tokens: int
    undecoded: int
    """Answers that are no valid reply of the contract."""
    cut: int
    """Answers that reached the token limit."""


class TextPerplexity(Data):
    """Perplexity per token on one language's general text."""

    language: str
    tokens: int
    before: float
    after: float | None


class Forgetting(Data):
    """How much general language an adaptation costs: perplexity on a small text of no trade."""

    text_sha256: str
    texts: tuple[TextPerplexity, ...]
    before: float
    """Over all texts, exp of the mean negative log likelihood per token."""
    after: float | None
    """None without a fine-tune."""

    @property
    def change(self) -> float | None:
        """Relative increase of perplexity; 0.1 is ten percent worse."""
        return None if self.after is None else self.after / self.before - 1


class LossPoint(Data):
    """A loss at a step of the training run."""

    step: int
    loss: float


class TrainingLog(Data):
    """The losses of a training run, from its log.jsonl."""

    train: tuple[LossPoint, ...] = ()
    held_out: tuple[LossPoint, ...] = ()


_BASE_KEPT = {
    ("head", "features"): "the base is frozen and forgets nothing",
    **dict.fromkeys(
        [("head", "lora"), ("head", "full")],
        "the trained copy of the base belongs to the head and generates no text; the base itself is unchanged",
    ),
}
"""Why a fine-tune has nothing to forget, by what its recipe produces and its method."""


class Evaluation(Data):
    """Base against fine-tune on the same held-out inputs."""

    schema_version: Literal["2"] = SCHEMA_VERSION
    task: str
    title: str
    base: Base
    fine_tune: FineTuneCard | None
    inputs: int
    references: int
    held_out_sha256: str
    languages: dict[str, int]
    """Language → inputs."""
    few_shot: int
    seed: int
    resamples: int
    confidence: float
    precision: str
    """dtype of the torch systems that generate text."""
    systems: tuple[SystemReport, ...]
    metrics: tuple[MetricReport, ...]
    rows: tuple[Row, ...]
    forgetting: Forgetting | None
    """None where it was not requested, or a head answers: `base_kept` gives the reason."""
    training: TrainingLog
    versions: dict[str, str]
    seconds: float
    created: AwareDatetime

    @property
    def base_kept(self) -> str | None:
        """Why a head has nothing to forget, in words; None where no head was measured."""
        if self.fine_tune is None:
            return None
        return _BASE_KEPT.get((self.fine_tune.recipe.produces, self.fine_tune.recipe.method))

    def metric(self, name: str) -> MetricReport:
        """The metric of that name.

        Raises:
            KeyError: it was not measured.
        """
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise KeyError(name)

    def summary(self) -> dict[str, JsonValue]:
        """Before and after in a few lines, for a fine-tune's card and a bundle's manifest."""
        names = {
            BASE_ZERO_SHOT: "before",
            BASE_FEW_SHOT: "before_few_shot",
            MOST_FREQUENT: "most_frequent",
            FINE_TUNE: "after",
            BUNDLE: "bundle",
        }
        figures: dict[str, JsonValue] = {
            names[system.name]: {m.name: m.values[system.name].model_dump() for m in self.metrics}
            for system in self.systems
        }
        figures |= {"inputs": self.inputs, "references": self.references, "held_out_sha256": self.held_out_sha256}
        figures |= {"seed": self.seed, "confidence": self.confidence}
        if self.forgetting:
            figures["general_perplexity"] = {"before": self.forgetting.before, "after": self.forgetting.after}
        return figures
