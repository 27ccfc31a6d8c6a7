"""What a team lead would mark, one file a check; each serves as metric, as guard in a product and as reward."""

from __future__ import annotations

from metier.contracts import Check
from metier_support.checks.contradicts import contradicts
from metier_support.checks.escalation import escalation
from metier_support.checks.grounded import grounded
from metier_support.checks.listing_agrees import listing_agrees
from metier_support.checks.listing_facts import listing_facts
from metier_support.checks.listing_form import listing_form
from metier_support.checks.passages_named import passages_named
from metier_support.checks.placeholders import listing_placeholders, placeholders
from metier_support.checks.privacy import privacy
from metier_support.checks.review_fair import review_fair
from metier_support.checks.review_quotes import review_quotes
from metier_support.checks.spans_verbatim import spans_verbatim
from metier_support.checks.well_formed import WELL_FORMED_CHECKS

CHECKS: tuple[Check, ...] = (
    grounded,
    contradicts,
    passages_named,
    escalation,
    privacy,
    placeholders,
    spans_verbatim,
    listing_facts,
    listing_agrees,
    listing_form,
    listing_placeholders,
    review_quotes,
    review_fair,
    *WELL_FORMED_CHECKS,
)

__all__ = ["CHECKS"]
