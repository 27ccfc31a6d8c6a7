"""The tasks of the trade, one file a task. Prompts are short, since each token of them is paid for in every
training step and every request."""

from __future__ import annotations

from metier_adcopy.tasks.describe import DESCRIBE, describe
from metier_adcopy.tasks.presenter import PRESENTER, presenter
from metier_adcopy.tasks.search_ads import SEARCH_ADS, search_ads
from metier_adcopy.tasks.search_match import SEARCH_MATCH, search_match

TASKS = (describe, search_ads, search_match, presenter)

__all__ = [
    "DESCRIBE",
    "PRESENTER",
    "SEARCH_ADS",
    "SEARCH_MATCH",
    "TASKS",
    "describe",
    "presenter",
    "search_ads",
    "search_match",
]
