"""Looks inside a base or fine-tune in torch: what it attended to, and which words of the input its reply came from.

torch is imported only when a model is looked into.
"""

import metier.bases.threads  # noqa: F401  before torch
from metier._lazy import lazy_names

__all__, __getattr__ = lazy_names(
    __name__,
    {
        "metier.explain.attention": "reply_attention rollout",
        "metier.explain.attribution": "input_attribution",
        "metier.explain.explanation": "Explanation explain",
        "metier.explain.page": "render_page write_page",
        "metier.explain.words": "Word words_of",
    },
)
