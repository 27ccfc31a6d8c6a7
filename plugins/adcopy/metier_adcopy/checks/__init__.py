"""What a copy chief would mark, one file a check; each serves as metric, as guard in a product and as reward."""

from __future__ import annotations

from metier.contracts import Check
from metier_adcopy.checks.ad_limits import ad_limits
from metier_adcopy.checks.advertising_law import advertising_law
from metier_adcopy.checks.call_to_action import call_to_action
from metier_adcopy.checks.conditions_kept import conditions_kept
from metier_adcopy.checks.facts_invented import facts_invented
from metier_adcopy.checks.facts_stated import facts_stated
from metier_adcopy.checks.ftc import ftc
from metier_adcopy.checks.headlines_differ import headlines_differ
from metier_adcopy.checks.length import length
from metier_adcopy.checks.nothing_denied import nothing_denied
from metier_adcopy.checks.numbers_belong import numbers_belong
from metier_adcopy.checks.spoken_time import spoken_time
from metier_adcopy.checks.ssml_valid import ssml_valid
from metier_adcopy.checks.well_formed import well_formed

CHECKS: tuple[Check, ...] = (
    facts_stated,
    facts_invented,
    conditions_kept,
    nothing_denied,
    numbers_belong,
    well_formed,
    length,
    ad_limits,
    headlines_differ,
    call_to_action,
    spoken_time,
    ssml_valid,
    advertising_law,
    ftc,
)

__all__ = ["CHECKS"]
