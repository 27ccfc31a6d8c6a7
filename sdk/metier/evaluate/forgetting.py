"""How much general language an adaptation costs: perplexity on a small text that belongs to no trade.

The text is packaged here, written for this project and free of rights (CC0 1.0): plain English and some Chinese.
It is too small to rank bases; it compares one base before and after.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib.resources import files
from math import exp
from typing import Any, NamedTuple

from metier.decoding.tokenizer import ChatTokenizer
from metier.metrics.results import Forgetting, TextPerplexity

LANGUAGES = ("en", "zh")


class Likelihood(NamedTuple):
    """Negative log likelihood of a text, in nats, and over how many tokens."""

    nats: float
    tokens: int

    @property
    def perplexity(self) -> float:
        return exp(self.nats / max(self.tokens, 1))


def general_text(language: str) -> str:
    """The packaged text of a language in `LANGUAGES`; passages are separated by empty lines."""
    return files(__package__).joinpath(f"general.{language}.txt").read_text(encoding="utf-8")


def likelihoods(model: Any, tokenizer: ChatTokenizer) -> dict[str, Likelihood]:
    """Language → likelihood of its general text, each passage on its own, without its first token."""
    return {language: _over_all(found) for language, found in passages(model, tokenizer).items()}


def passages(model: Any, tokenizer: ChatTokenizer) -> dict[str, list[Likelihood]]:
    """Language → likelihood of each passage of its general text, without its first token."""
    import torch

    device = next(model.parameters()).device
    found: dict[str, list[Likelihood]] = {}
    for language in LANGUAGES:
        found[language] = []
        for passage in general_text(language).strip().split("\n\n"):
            ids = torch.tensor([tokenizer.encode(passage.strip())], device=device)
            with torch.inference_mode():
                logits = model(input_ids=ids).logits[0, :-1].float()
            nats = float(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum"))
            found[language].append(Likelihood(nats, ids.shape[1] - 1))
    return found


def forgetting(before: dict[str, Likelihood], after: dict[str, Likelihood] | None) -> Forgetting:
    """Likelihoods before and after as perplexities, by language and over all."""
    digest = hashlib.sha256("\0".join(general_text(language) for language in before).encode()).hexdigest()
    texts = tuple(
        TextPerplexity(
            language=language, tokens=b.tokens, before=b.perplexity, after=after[language].perplexity if after else None
        )
        for language, b in before.items()
    )
    return Forgetting(
        text_sha256=digest,
        texts=texts,
        before=_over_all(before.values()).perplexity,
        after=_over_all(after.values()).perplexity if after else None,
    )


def _over_all(parts: Iterable[Likelihood]) -> Likelihood:
    nats, tokens = zip(*parts, strict=True)
    return Likelihood(sum(nats), sum(tokens))
