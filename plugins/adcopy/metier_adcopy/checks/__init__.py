"""What a copy chief would mark, one file a check; each serves as metric, as guard in a product and as reward."""

from __future__ import annotations

from metier.contracts import Check
from metier_adcopy.checks.advertising_law import advertising_law
from metier_adcopy.checks.facts_invented import facts_invented
from metier_adcopy.checks.facts_stated import facts_stated
from metier_adcopy.checks.ftc import ftc
from metier_adcopy.checks.length import length

CHECKS: tuple[Check, ...] = (facts_stated, facts_invented, length, advertising_law, ftc)

__all__ = ["CHECKS", "advertising_law", "facts_invented", "facts_stated", "ftc", "length"]
