"""What a narrative lead would mark, one file a rule; each serves as metric, as guard in a game and as reward."""

from __future__ import annotations

from metier.contracts import Check
from metier_npc.checks.actions import action_allowed
from metier_npc.checks.bubble import bark_bubble, bubble, persona_bubble
from metier_npc.checks.character import bark_in_character, in_character, persona_in_character
from metier_npc.checks.known import as_known
from metier_npc.checks.memory import memory
from metier_npc.checks.numbers import numbers_known, persona_numbers_known
from metier_npc.checks.secrets import keeps_secrets, persona_keeps_secrets
from metier_npc.checks.spoken import bark_spoken, persona_spoken, spoken
from metier_npc.checks.temper import bark_temper, persona_temper, temper
from metier_npc.checks.variety import bark_variety, fresh, persona_fresh
from metier_npc.checks.whole import bark_whole, persona_whole, whole

CHECKS: tuple[Check, ...] = (
    in_character,
    keeps_secrets,
    action_allowed,
    bubble,
    spoken,
    whole,
    temper,
    fresh,
    numbers_known,
    memory,
    bark_in_character,
    bark_bubble,
    bark_spoken,
    bark_whole,
    bark_temper,
    bark_variety,
    persona_in_character,
    persona_keeps_secrets,
    persona_bubble,
    persona_spoken,
    persona_whole,
    persona_temper,
    persona_fresh,
    persona_numbers_known,
    as_known,
)

__all__ = [
    "CHECKS",
    "action_allowed",
    "as_known",
    "bark_bubble",
    "bark_in_character",
    "bark_spoken",
    "bark_temper",
    "bark_variety",
    "bark_whole",
    "bubble",
    "fresh",
    "in_character",
    "keeps_secrets",
    "memory",
    "numbers_known",
    "persona_bubble",
    "persona_fresh",
    "persona_in_character",
    "persona_keeps_secrets",
    "persona_numbers_known",
    "persona_spoken",
    "persona_temper",
    "persona_whole",
    "spoken",
    "temper",
    "whole",
]
