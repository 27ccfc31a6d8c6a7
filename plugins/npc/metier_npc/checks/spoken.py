"""A line is spoken words only: no name before it, no stage directions, no second voice. The rest has its own fields."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding, Value
from metier_npc.checks.answer import HAN, spoken_lines
from metier_npc.tasks import BARK, LINE, PERSONA

RULE = "house rule: dialogue holds spoken words only"
_STARRED = re.compile(r"\*[^*\n]+\*")
_LEADING = re.compile(r"\s*[(（\[【][^)）\]】]*[)）\]】]\s*\S")
_FIELDS = re.compile(r"[{\[]\s*\"|\b(?:emotion|action|remember)\s*[:=]")
_LONGEST_NAME = 60
_BREAKS = '.!?。！？…\n"”'

# A name at the head of a text that nobody in the scene has: several words with capitals, or a role.
_TITLED = re.compile(r"[A-Z][\w'’.-]{0,20}(?: (?:of|the|de|von|van|[A-Z][\w'’.-]{0,20})){1,4} ?:\s*\S")
_NUMBERED = re.compile(r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|first|second|third|last)\b", re.I)
_ROLE = re.compile(
    r"(?:the )?(?:narrator|guard|villager|merchant|stranger|soldier|captain|bandit|innkeeper|king|queen|user|assistant|"
    r"man|woman|boy|girl|voice|character|hero|customer) ?[:：]",
    re.IGNORECASE,
)
_ROLE_HAN = re.compile(
    r"[\u3400-\u9fff]{0,4}(?:掌柜|师[傅父兄姐妹弟]|姑娘|公子|大人|将军|长老|掌门|老板娘?|老师|医生|大夫|护士|[队舰船团]长|守卫|士兵|侍卫|"
    r"旁白|路人|村民|少[年女]|老人|弟子|学徒|管家|头目|老者|女子|男子|用户|助手|主角|角色)\s*[:：]"
)
_OPENER = re.compile(r"([A-Z][a-z]{2,15}): [A-Z]")
_OPENS = frozenset(
    """advice alert announcement answer attention bottom caution conclusion correction dispatch fact fine first headline
    hint instructions item last listen look message moral news note notice offer order orders password point price
    promise proof proverb question reminder remember report result rule rumour rumor second secret short status summary
    target third tip today tomorrow tonight truth verdict warning weather welcome yesterday""".split()  # noqa: SIM905
)


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """Findings for names ahead of words, a call to oneself, directions, line breaks and left-over fields."""
    speaker = str(input.get("speaker", ""))
    names = {speaker, "Player", "NPC", "玩家"}
    names |= {str(turn.get("who", "")) for turn in input.get("history") or () if isinstance(turn, Mapping)}
    names = {name.strip() for name in names if 0 < len(name.strip()) <= _LONGEST_NAME}
    found = []
    for text in spoken_lines(output):
        for what, words in (
            ("a name stands ahead of the words", _name_before(text, names)),
            ("a stage direction stands among the words", _direction(text)),
            ("a field of the answer stands among the words", _first(_FIELDS, text)),
            ("a line break stands among the words", _first(re.compile(r"[\n\r]"), text)),
            ("the character calls itself", _calls(text.strip(), speaker.strip())),
        ):
            if words:
                found.append(Finding(message=what, rule=RULE, excerpt=words[:60].strip() or None))
    return found


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    match = pattern.search(text)
    return match[0] if match else None


def _name_before(text: str, names: set[str]) -> str | None:
    """`Name:` at the head of a sentence: of somebody in the scene anywhere, of a stranger at the head of the text."""
    lengths = sorted({len(name) for name in names})
    for colon in re.finditer("[:：]", text):
        near = text[max(0, colon.start() - _LONGEST_NAME - 8) : colon.start()].rstrip()
        for length in lengths:
            before = near[:-length].rstrip(" ")
            if near[-length:] in names and (not before or before[-1] in _BREAKS):
                return f"{near[-length:]}:"
    head = text.lstrip()[:120]
    for pattern in (_TITLED, _ROLE, _ROLE_HAN):
        match = pattern.match(head)
        if match and not (pattern is _TITLED and _NUMBERED.search(match[0])):
            return match[0]
    match = _OPENER.match(head)
    return match[0] if match and match[1].casefold() not in _OPENS else None


def _direction(text: str) -> str | None:
    if match := _STARRED.search(text) or _LEADING.match(text):
        return match[0]
    end = text.rstrip()
    if end[-1:] in (")", "）"):
        opened = max(end.rfind("(", 0, -1), end.rfind("（", 0, -1))
        closed = max(end.rfind(")", 0, -1), end.rfind("）", 0, -1))
        if opened > closed:
            return end[opened:]
    return None


def _calls(text: str, speaker: str) -> str | None:
    """The character's own name as a call: `Mira, get in.`, `Get in, Mira!`."""
    if len(speaker) < 2 or speaker.casefold() in ("me", "you", "i", "我"):
        return None
    edge = "，,！!" if HAN.search(speaker) else ",!"
    if text.startswith(speaker) and text[len(speaker) : len(speaker) + 1] in tuple(edge):
        return text[: len(speaker) + 1]
    bare = text.rstrip(".!?。！？…")
    before = bare[: -len(speaker)].rstrip()
    return bare[-len(speaker) - 2 :] if bare.endswith(speaker) and before[-1:] in ("，", ",") else None


def _check(name: str, task: str, input: dict[str, Any], good: dict[str, Any], bad: dict[str, Any]) -> Check:
    input = {"speaker": "Mira", **input}
    text = "Spoken words only: no names, no stage directions."
    return Check(name, (task,), run, (input, good), (input, bad), text, title="Spoken words only")


_REST: Value = {"emotion": "neutral", "action": "none", "remember": []}
spoken = _check("spoken", LINE, {}, {"line": "Get in.", **_REST}, {"line": "Mira: Get in.", **_REST})
bark_spoken = _check(
    "bark_spoken", BARK, {"situation": "rain"}, {"variants": ["Rain again."]}, {"variants": ["*sighs* Rain again."]}
)
persona_spoken = _check(
    "persona_spoken",
    PERSONA,
    {"player": "Can I cross?", "history": [{"who": "Player", "text": "Hello."}]},
    {"text": "If you can pay."},
    {"text": "If you can pay.\nPlayer: I can."},
)
