"""The structure of SSML 1.1 (W3C Recommendation, 7 September 2010, https://www.w3.org/TR/speech-synthesis11/): which
element may hold which, and what its attributes may say. It does not know presenters.

The W3C's own schema needs an XML Schema processor; this table holds section 3 of the recommendation instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

NAMESPACE = "http://www.w3.org/2001/10/synthesis"
_XML = "{http://www.w3.org/XML/1998/namespace}"


class _Rule(NamedTuple):
    children: frozenset[str]
    text: bool
    required: dict[str, str]
    """Attribute → pattern of its value."""
    optional: dict[str, str]


_TIME = r"\+?(\d+|\d*\.\d+)(s|ms)"  # CSS 2 <time>, as sections 3.2.3 and 3.2.4 take it
_PERCENT = r"\+?(\d+|\d*\.\d+)%"
_CHANGE = r"[+-](\d+|\d*\.\d+)(%|Hz|st)"
_LANGUAGE = r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*"
_FAIL = "changevoice|ignoretext|ignorelang|processorchoice"
_ANY = r"(?s).*"
_ID = {f"{_XML}id": r"[\w.-]+"}
_WITHIN = frozenset({"audio", "break", "emphasis", "mark", "phoneme", "prosody", "say-as", "sub"})
_INLINE = _WITHIN | {"lang", "lookup", "token", "voice", "w"}
_BLOCK = _INLINE | {"p", "s"}
_HEAD = frozenset({"meta", "metadata", "lexicon"})


def _rule(
    children: frozenset[str] = frozenset(),
    *,
    text: bool = True,
    required: dict[str, str] | None = None,
    optional: dict[str, str] | None = None,
) -> _Rule:
    return _Rule(children, text, required or {}, optional or {})


_SPOKEN_IN = {f"{_XML}lang": _LANGUAGE, "onlangfailure": _FAIL, **_ID}
RULES: dict[str, _Rule] = {
    "speak": _rule(
        _BLOCK | _HEAD,
        required={"version": r"1\.1", f"{_XML}lang": _LANGUAGE},
        optional={f"{_XML}base": _ANY, "onlangfailure": _FAIL, "startmark": _ANY, "endmark": _ANY, **_ID},
    ),
    "p": _rule(_INLINE | {"s"}, optional=_SPOKEN_IN),
    "s": _rule(_INLINE, optional=_SPOKEN_IN),
    "token": _rule(_WITHIN, optional={"role": _ANY, **_SPOKEN_IN}),
    "w": _rule(_WITHIN, optional={"role": _ANY, **_SPOKEN_IN}),
    "lang": _rule(_BLOCK, required={f"{_XML}lang": _LANGUAGE}, optional={"onlangfailure": _FAIL, **_ID}),
    "voice": _rule(
        _BLOCK,
        optional={
            "gender": "male|female|neutral|", "age": r"\d*", "variant": r"\d*", "name": _ANY, "languages": _ANY,
            "required": _ANY, "ordering": _ANY, "onvoicefailure": "priorityselect|keepexisting|processorchoice", **_ID,
        },
    ),
    "emphasis": _rule(_INLINE, optional={"level": "strong|moderate|none|reduced", **_ID}),
    "break": _rule(
        text=False, optional={"strength": "none|x-weak|weak|medium|strong|x-strong", "time": _TIME, **_ID}
    ),
    "prosody": _rule(
        _BLOCK,
        optional={
            "pitch": rf"\d*\.?\d+Hz|{_CHANGE}|x-low|low|medium|high|x-high|default",
            "range": rf"\d*\.?\d+Hz|{_CHANGE}|x-low|low|medium|high|x-high|default",
            "contour": r"(\s*\(\s*\d+(\.\d+)?%\s*,[^()]+\))+\s*",
            "rate": rf"{_PERCENT}|x-slow|slow|medium|fast|x-fast|default",
            "duration": _TIME,
            "volume": r"[+-](\d+|\d*\.\d+)dB|silent|x-soft|soft|medium|loud|x-loud|default",
            **_ID,
        },
    ),
    "say-as": _rule(required={"interpret-as": r"\S+"}, optional={"format": r"\S+", "detail": r"\S+", **_ID}),
    "sub": _rule(required={"alias": _ANY}, optional=_ID),
    "phoneme": _rule(required={"ph": r"(?s).+"}, optional={"alphabet": r"ipa|x-\S+|\S+:\S+", "type": _ANY, **_ID}),
    "mark": _rule(text=False, required={"name": r"\S+( \S+)*"}, optional=_ID),
    "audio": _rule(_BLOCK | {"desc"}, optional={"src": r"\S*", "fetchtimeout": _TIME, "soundLevel": _ANY,
                                               "speed": _PERCENT, "repeatCount": _ANY, "repeatDur": _TIME,
                                               "clipBegin": _TIME, "clipEnd": _TIME, **_ID}),
    "desc": _rule(optional={f"{_XML}lang": _LANGUAGE, **_ID}),
    "lookup": _rule(_BLOCK, required={"ref": r"\S+"}, optional=_ID),
    "lexicon": _rule(text=False, required={"uri": r"\S+", f"{_XML}id": r"[\w.-]+"}, optional={"type": _ANY}),
    "meta": _rule(text=False, required={"content": _ANY}, optional={"name": _ANY, "http-equiv": _ANY, **_ID}),
    "metadata": _rule(optional=_ID),
}  # fmt: skip


def faults(document: str) -> list[str]:
    """What keeps a document from being a conforming stand-alone SSML 1.1 document (section 2.2.1); empty where none."""
    try:
        root = fromstring(document.encode(), forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        return [f"is not well-formed XML: {error}"]
    if root.tag != f"{{{NAMESPACE}}}speak":
        return [f"the root is {root.tag}, not speak in the namespace {NAMESPACE}"]
    return [*_head_first(root), *_faults(root)]


def _head_first(root: Element) -> Iterator[str]:
    names = [_local(child) for child in root]
    body = next((n for n, name in enumerate(names) if name not in _HEAD), len(names))
    yield from (f"{name} stands after what is spoken" for name in names[body:] if name in _HEAD)


def _faults(element: Element) -> Iterator[str]:
    name = _local(element)
    rule = RULES.get(name)
    if rule is None:
        yield f"there is no element {name}"
        return
    allowed = rule.required | rule.optional
    yield from (f"{name} lacks the attribute {_plain(key)}" for key in rule.required if key not in element.attrib)
    for key, value in element.attrib.items():
        if key not in allowed:
            yield f"{name} has no attribute {_plain(key)}"
        elif not re.fullmatch(allowed[key], value):
            yield f"{name} cannot have {_plain(key)}={value!r}"
    if name == "metadata":  # may hold any other namespace
        return
    if not rule.text and ("".join(element.itertext()).strip()):
        yield f"{name} must be empty"
    for child in element:
        if _local(child) in RULES and _local(child) not in rule.children:
            yield f"{name} cannot hold {_local(child)}"
        yield from _faults(child)


def _local(element: Element) -> str:
    return str(element.tag).removeprefix(f"{{{NAMESPACE}}}")


def _plain(key: str) -> str:
    return key.replace(_XML, "xml:")
