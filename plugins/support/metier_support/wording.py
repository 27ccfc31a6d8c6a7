"""Turns of phrase that both the data adapters and the checks read: handing over to a person, requesting one."""

from __future__ import annotations

import re

HAN_PEOPLE = "人工|主管|专员|专人|经理|安全员|安全专员|法务|顾问|店长|客服|同事|团队|老师|医生|律师|负责人|领导|小组"
"""People of a shop to whom a case is handed over, in Chinese."""
_PERSON = (
    r"(?:\{\{\w{1,40}\}\}|colleagues?|supervisors?|managers?|specialists?"
    r"|team ?leads?|person|human|(?:senior|human|live) agents?|agents?"
    r"|someone|advis[eo]rs?|(?:[a-z]+ ){0,2}teams?|safety desk|care desk|claims desk|complaints desk|legal desk)"
)
_HANDS_OVER = re.compile(
    rf"\b(?:hand(?:ed|ing)?|pass(?:ed|ing)?|transfer(?:red|ring)?|forward(?:ed|ing)?|put(?:ting)?|connect(?:ed|ing)?"
    rf"|escalat(?:ed?|ing)|refer(?:red|ring)?|bring(?:ing)?|giv(?:en|ing)|gave|sen[dt](?:ing)?|mov(?:ed|ing)|flagg(?:ed|ing))\b"
    rf"[^.!?]{{0,50}}?\b(?:to|over to|through to|for|in|with)\b (?:(?:a|an|our|my|the|one of our) )?{_PERSON}(?!\w)"
    rf"|\b(?:a|our|my|one of our) {_PERSON} (?:will|is going to|takes? (?:it|this|over)|has|now has|picks?)\b"
    r"|\bescalat(?:ed|ing) (?:this|it|your)\b"
    rf"|(?:转|交|请|叫|让|联系)(?:给|交|接|到)?[^，。！？；]{{0,8}}(?:{HAN_PEOPLE})"
    rf"|(?:{HAN_PEOPLE})(?:会|将|马上|来|尽快)|升级处理|已升级",
    re.IGNORECASE,
)
_REQUESTS_PERSON = re.compile(
    r"\b(?:speak|talk|chat|get|connect|transfer|put|give|want|need|let)\b[^.!?]{0,30}\b"
    r"(?:a|an|your|the|some|real|actual)\b[^.!?]{0,12}\b(?:human|person|someone|agent|manager|supervisor|representative)\b"
    r"|\b(?:real|actual) (?:person|human)\b|\b(?:human|agent|representative|operator)\s*(?:please|pls|now|!)"
    r"|\b(?:speak|talk) to (?:someone|somebody|anyone)\b"
    r"|(?:转|找|要|接|叫)[^，。！？]{0,4}(?:人工|真人|经理|主管)",
    re.IGNORECASE,
)


def hands_over(reply: str) -> bool:
    """Whether a reply tells the customer that a person takes over."""
    return bool(_HANDS_OVER.search(reply))


def requests_person(message: str) -> bool:
    """Whether a customer asks for a person."""
    return bool(_REQUESTS_PERSON.search(message))
