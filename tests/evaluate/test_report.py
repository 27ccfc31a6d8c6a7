"""The report: one file that loads nothing, escapes everything, and shows the figures of the data."""

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from metier.contracts import Base, Finding
from metier.evaluate import Evaluation, write_html, write_json
from metier.evaluate.report import headline, render_html
from metier.metrics.results import (
    Difference,
    Forgetting,
    Interval,
    LossPoint,
    MetricReport,
    ReportedAnswer,
    Row,
    SystemReport,
    TextPerplexity,
    TrainingLog,
)

EVIL = '<script>alert("1")</script> $x_1$ & <img src=x onerror=alert(2)> {{ 7 * 7 }}'


def interval(value: float, half: float = 2.0) -> Interval:
    return Interval(value=value, low=value - half, high=value + half)


def metric(name: str, before: float, after: float, **fields) -> MetricReport:
    gain = Difference(system="fine_tune", against="base_zero_shot", interval=interval(after - before), better=1)
    values = {"base_zero_shot": interval(before), "fine_tune": interval(after)}
    known = {"title": name, "kind": "task", "higher_is_better": True, "unit": "points", "differences": (gain,)}
    return MetricReport(name=name, values=values, **{**known, **fields})


def evaluation(*, evil: str = "", rows: int = 14, before: float = 20, after: float = 50) -> Evaluation:
    text = evil or "A blue mug."
    finding = Finding(message=f"says too much {evil}", rule=evil or None)
    answer = ReportedAnswer(text=text, output={"text": text}, tokens=5, findings={"brief": (finding,)})
    row = Row(
        input={"facts": evil or "blue mug", "tags": ["a"]},
        language="en",
        references=({"text": text},),
        reference_texts=(text,) * 5,
        answers={"base_zero_shot": answer, "fine_tune": answer},
        place=f"{evil}:3",
    )
    systems = tuple(
        SystemReport(name=n, title=t, detail=evil, seconds=2, tokens=50, undecoded=0, cut=1)
        for n, t in (("base_zero_shot", "Base, zero-shot"), ("fine_tune", f"Fine-tune{evil}"))
    )
    checks = metric("check.brief", 40, 90, title=f"Brief {evil}", kind="check", unit="percent", references=100)
    return Evaluation(
        task="demo.describe",
        title=evil or "Describe",
        base=Base(id=f"tiny{evil}", model_class="LlamaForCausalLM", context_length=512),
        fine_tune=None,
        inputs=rows,
        references=5 * rows,
        held_out_sha256="0" * 64,
        languages={"en": rows},
        few_shot=0,
        seed=0,
        resamples=1000,
        confidence=0.95,
        precision="bfloat16",
        systems=systems,
        metrics=(metric("bleu", before, after, title=f"BLEU{evil}"), checks),
        rows=(row,) * rows,
        forgetting=Forgetting(
            text_sha256="0",
            texts=(TextPerplexity(language="en", tokens=600, before=20, after=22),),
            before=20,
            after=22,
        ),
        training=TrainingLog(
            train=tuple(LossPoint(step=i, loss=3 / i) for i in range(1, 30)), held_out=(LossPoint(step=20, loss=0.5),)
        ),
        versions={"torch": "2"},
        seconds=5,
        created=datetime(2025, 1, 2, tzinfo=UTC),
    )


class Tags(HTMLParser):
    """All tags with their attributes, and that each is closed."""

    VOID = frozenset({"meta", "br", "img", "link", "input"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"


def test_the_page_loads_nothing_from_anywhere() -> None:
    html = render_html(evaluation())
    assert not re.search(r"https?:|//[a-z]|url\((?!#)|@import|<link|<script|src=", html, re.I)
    page = Tags(html)
    assert page.open == [] and not {"script", "link", "img", "iframe"} & {tag for tag, _ in page.seen}
    links = [v for _, attrs in page.seen for k, v in attrs.items() if k in {"href", "src", "action"}]
    assert all(link.startswith("#") for link in links), links


def test_what_users_and_models_wrote_is_escaped_everywhere_plots_included() -> None:
    html = render_html(evaluation(evil=EVIL))
    page = Tags(html)
    assert page.open == [] and not {"script", "img"} & {tag for tag, _ in page.seen}
    assert not any(name.startswith("on") for _, attrs in page.seen for name in attrs)
    assert "&lt;script&gt;" in html and "{{ 7 * 7 }}" in html


def test_plots_take_their_colours_from_the_page_so_that_they_can_be_read_in_the_dark() -> None:
    html = render_html(evaluation())
    plots = re.findall(r"<svg.*?</svg>", html, re.S)
    assert len(plots) == 3, "metrics, checks, loss"
    for plot in plots:
        assert "var(--ink)" in plot and "var(--fine-tune)" in plot
        drawn = set(re.findall(r"#[0-9a-f]{6}\b", plot))
        assert not drawn, f"fixed colours {drawn}"
    assert "prefers-color-scheme: dark" in html


@pytest.mark.parametrize(
    ("after", "words"),
    [(50, "gains +30.0 (+28.0 to +32.0) bleu"), (10, "loses −10.0"), (21, "shows no certain change")],
)
def test_the_headline_names_gain_loss_or_neither(after: float, words: str) -> None:
    assert words.lower() in headline(evaluation(after=after)).lower()


def test_rows_beyond_the_first_dozen_are_folded_and_none_is_lost() -> None:
    html = render_html(evaluation(rows=14))
    assert html.count('class="box row"') == 14 and "2 more inputs" in html
    assert "more inputs" not in render_html(evaluation(rows=12))


def test_a_base_alone_has_a_report_too() -> None:
    complete = evaluation()
    alone = complete.model_copy(
        update={
            "systems": complete.systems[:1],
            "metrics": tuple(
                m.model_copy(update={"differences": (), "values": {"base_zero_shot": m.values["base_zero_shot"]}})
                for m in complete.metrics
            ),
            "forgetting": None,
            "training": TrainingLog(),
        }
    )
    html = render_html(alone)
    assert "Forgetting" not in html and "Base, zero-shot scores 20.0 (18.0 to 22.0) bleu" in html.replace(
        "BLEU", "bleu"
    )


def test_both_files_are_complete_and_json_reads_back(tmp_path: Path) -> None:
    report = evaluation(evil=EVIL)
    page, data = write_html(report, tmp_path / "new" / "r.html"), write_json(report, tmp_path / "new" / "r.json")
    assert Evaluation.model_validate_json(data.read_text("utf-8")) == report
    assert page.read_text("utf-8").rstrip().endswith("</html>")
    assert sorted(p.name for p in page.parent.iterdir()) == ["r.html", "r.json"]
