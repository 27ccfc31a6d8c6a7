"""The table of the page "which base": bases of the hub by size, and what `metier fit` says to each.

    python sdk/docs/which_base.py      # print the table

Parameters, licence, languages and context are those of the makers' model cards; `fit` is run on them at each build.
"""

from __future__ import annotations

from typing import Any

from metier.bases.catalogue import CATALOGUE, DEFAULT_BASE, SMALLEST_BASE
from metier.contracts import Base
from metier.contracts.fit import FitFinding, Verdict, fit
from metier.plugins import load_plugins

TASK, MARKER = "adcopy.describe", "<!-- bases -->"
QWEN25 = CATALOGUE[DEFAULT_BASE].card.languages
LLAMA = ("en", "de", "fr", "it", "pt", "hi", "es", "th")
"""As the cards of Llama 3.1 and 3.2 name them."""


def _base(hub: str, layout: str, billions: float, languages: tuple[str, ...], context: int, licence: str) -> Base:
    return Base(
        id=hub,
        model_class=f"{layout}ForCausalLM",
        parameters=round(billions * 1e9),
        languages=languages,
        context_length=context,
        licence=licence,
    )


MANY = ("en", "zh")
"""Qwen3's card counts languages, 119 with dialects, without naming them: it is entered with the two of the trades."""
UNCHECKED = {
    "Qwen/Qwen2.5-1.5B-Instruct", "Qwen/Qwen3-1.7B", "HuggingFaceTB/SmolLM2-1.7B-Instruct", "Qwen/Qwen2.5-3B-Instruct",
    "Qwen/Qwen3-4B", "Qwen/Qwen2.5-7B-Instruct", "meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen3-8B",
}  # fmt: skip
"""Rows of which not every cell was compared with a copy of the card when the table was written."""

BASES: tuple[tuple[Base, str], ...] = (
    (CATALOGUE[SMALLEST_BASE].card, "en"),
    (CATALOGUE[DEFAULT_BASE].card, "13 named, zh among them"),
    (_base("Qwen/Qwen2.5-0.5B-Instruct", "Qwen2", 0.49, QWEN25, 32_768, "Apache-2.0"), "13 named, zh among them"),
    (_base("Qwen/Qwen3-0.6B", "Qwen3", 0.6, MANY, 32_768, "Apache-2.0"), "119 with dialects"),
    (
        _base("google/gemma-3-1b-it", "Gemma3", 1.0, ("en",), 32_768, "gemma"),
        "over 140 for the family; en is sure here",
    ),
    (_base("meta-llama/Llama-3.2-1B-Instruct", "Llama", 1.23, LLAMA, 131_072, "llama3.2"), "8 named, no zh"),
    (_base("Qwen/Qwen2.5-1.5B-Instruct", "Qwen2", 1.54, QWEN25, 32_768, "Apache-2.0"), "13 named, zh among them"),
    (_base("Qwen/Qwen3-1.7B", "Qwen3", 1.7, MANY, 32_768, "Apache-2.0"), "119 with dialects"),
    (_base("HuggingFaceTB/SmolLM2-1.7B-Instruct", "Llama", 1.7, ("en",), 8192, "Apache-2.0"), "en"),
    (_base("Qwen/Qwen2.5-3B-Instruct", "Qwen2", 3.09, QWEN25, 32_768, "qwen-research"), "13 named, zh among them"),
    (_base("meta-llama/Llama-3.2-3B-Instruct", "Llama", 3.21, LLAMA, 131_072, "llama3.2"), "8 named, no zh"),
    (_base("microsoft/Phi-3-mini-4k-instruct", "Phi3", 3.8, ("en",), 4096, "MIT"), "en"),
    (_base("Qwen/Qwen3-4B", "Qwen3", 4.0, MANY, 32_768, "Apache-2.0"), "119 with dialects"),
    (_base("mistralai/Mistral-7B-Instruct-v0.3", "Mistral", 7.25, (), 32_768, "Apache-2.0"), "not named"),
    (_base("Qwen/Qwen2.5-7B-Instruct", "Qwen2", 7.61, QWEN25, 32_768, "Apache-2.0"), "13 named, zh among them"),
    (_base("meta-llama/Llama-3.1-8B-Instruct", "Llama", 8.03, LLAMA, 131_072, "llama3.1"), "8 named, no zh"),
    (_base("Qwen/Qwen3-8B", "Qwen3", 8.2, MANY, 32_768, "Apache-2.0"), "119 with dialects"),
)
"""Bases, smallest first, and what their cards say of languages."""


def on_page_markdown(markdown: str, **_: Any) -> str:
    """mkdocs calls this for every page: the marker is replaced by the table."""
    return markdown.replace(MARKER, table()) if MARKER in markdown else markdown


def judged_here(finding: FitFinding) -> bool:
    """Whether a finding stands in the table. Context is left out: it depends on the lengths of your samples."""
    return finding.verdict is not Verdict.OK and finding.aspect != "context"


def table() -> str:
    """Every base in a row."""
    registry = load_plugins()
    _, task = registry.task(TASK)
    rows = ["| base | layout | parameters | licence | languages | context | `fit` |", "|---|---|--:|---|---|--:|---|"]
    for base, languages in BASES:
        report = fit(task, base, registry.bridges.values())
        judged = {finding.aspect: finding for finding in report.findings if judged_here(finding)}
        verdict = "; ".join(f"{aspect}: {finding.verdict.value}" for aspect, finding in judged.items()) or "ok"
        size = f"{(base.parameters or 0) / 1e9:.2f} B"
        layout = base.model_class.removesuffix("ForCausalLM")
        mark = " †" if base.id in UNCHECKED else ""
        cells = [f"`{base.id}`{mark}", layout, size, base.licence, languages, f"{base.context_length:,}", verdict]
        rows.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
