"""Google Ads Editor's CSV export (UTF-16, tab-separated): its search ads, each with a keyword of its ad group.

Columns: https://support.google.com/google-ads/editor/answer/57747; capitals, spaces and underscores in headers do not
count there. One row is one campaign, ad group, keyword or ad; rows that are no text ad are passed over. What is
advertised an export does not say beyond names and addresses: add a column `facts` where you have them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from metier.contracts import BadRow, ContractError, DataError, Provenance, Sample
from metier.contracts.script import language_by_script
from metier_adcopy.checks.ad_limits import LIMITS, RULES
from metier_adcopy.checks.length import width
from metier_adcopy.facts import parse_facts, write_facts
from metier_adcopy.reading.tables import header, rows_with, text
from metier_adcopy.tasks import SEARCH_ADS

_TEXT = re.compile(r"(?P<kind>headline|description)(?:line)?(?P<number>\d{1,2})")
_INSERTED = re.compile(r"\{keyword:([^{}]*)\}", re.IGNORECASE)
_TYPES = {"", "responsive search ad", "expanded text ad", "text ad"}
_GROUPS = 50_000
"""Ad groups whose keyword is remembered: memory stays bounded in an export of any size."""


def _key(column: str) -> str:
    return re.sub(r"[\s_\-]+", "", column).casefold()


@dataclass(frozen=True)
class AdsEditor:
    """An export of Google Ads Editor, or any table with its columns."""

    name: str = "google_ads_editor"
    task: str = SEARCH_ADS
    example: Path = Path(__file__).parent.parent / "examples" / "ads_editor.csv"

    def accepts(self, path: Path) -> bool:
        """Whether there are columns for the headlines and descriptions of a responsive search ad."""
        return {"headline1", "headline2", "description1"} <= {_key(column) for column in header(path)}

    def read(self, path: Path) -> Iterator[Sample | BadRow]:
        """One sample an ad.

        Raises:
            DataError: no table, or none of its columns is a headline.
        """
        keywords: dict[tuple[str, str], str] = {}
        for row in rows_with(path, {}):
            if isinstance(row, BadRow):
                yield row
                continue
            cells = {_key(column): text(value).strip() for column, value in row.values.items()}
            if "headline1" not in cells:
                raise DataError(
                    f"there is no column Headline 1; the columns are {', '.join(list(row.values)[:20]) or 'none'}",
                    where=f"{path}:1",
                    remedy="export from Google Ads Editor with its English headers",
                )
            group = cells.get("campaign", ""), cells.get("adgroup", "")
            keyword = cells.get("keyword", "")
            if keyword and "negative" not in cells.get("criteriontype", "").casefold() and len(keywords) < _GROUPS:
                keywords.setdefault(group, keyword.strip('"[]+'))
            is_ad = any(value for name, value in cells.items() if _TEXT.fullmatch(name))
            if is_ad and cells.get("adtype", "").casefold() in _TYPES:
                yield _sample(cells, keywords.get(group), row.provenance)


def _sample(cells: Mapping[str, str], keyword: str | None, provenance: Provenance) -> Sample | BadRow:
    output: dict[str, Any] = {"headlines": _texts(cells, "headline"), "descriptions": _texts(cells, "description")}
    for field, least in (("headlines", 3), ("descriptions", 2)):
        column = field.removesuffix("s").capitalize()
        if len(output[field]) < least:
            reason = f"the ad has {len(output[field])} {field}, a responsive search ad has at least {least}"
            return _bad(provenance, f"{column} {least}", reason, "add texts, or leave the ad out")
        for number, content in output[field]:
            most = LIMITS["google"][field][1]
            if width(content) > most:
                reason = f"takes {width(content)} characters ({RULES['google']})"
                return _bad(provenance, f"{column} {number}", reason, "shorten it")
            if "{" in content:
                reason = f"holds an ad customizer: {content}"
                return _bad(provenance, f"{column} {number}", reason, "write what a searcher would read")
        output[field] = [content for _, content in output[field]]
    if len(output["headlines"]) > 15 or len(output["descriptions"]) > 4:
        return _bad(provenance, "Headline 16", "the ad has more than 15 headlines or 4 descriptions", "drop some")
    facts = cells.get("facts") or write_facts([("offer", cells.get("adgroup") or cells.get("campaign") or "")])
    try:
        if not any(fact.known for fact in parse_facts(facts)):
            raise ContractError("neither facts nor an ad group say what is advertised", remedy="fill Ad Group")
    except ContractError as error:
        return _bad(provenance, "facts" if cells.get("facts") else "Ad Group", error.what, error.remedy)
    input: dict[str, Any] = {"facts": facts}
    if page := _page(cells):
        input["page"] = page
    if keyword:
        input["keyword"] = keyword
    if language_by_script(" ".join(output["headlines"]), ("zh",)):
        input["language"] = "zh"
    return Sample(task=SEARCH_ADS, input=input, output=output, provenance=provenance)


def _texts(cells: Mapping[str, str], kind: str) -> list[tuple[int, str]]:
    """(number of the column, text), keyword insertion put as its default text; empty cells and `[]` left out."""
    found = []
    for name, value in cells.items():
        column = _TEXT.fullmatch(name)
        content = " ".join(_INSERTED.sub(r"\1", value).split())
        if column and column["kind"] == kind and content and content != "[]":
            found.append((int(column["number"]), content))
    return sorted(found)


def _page(cells: Mapping[str, str]) -> str:
    """What the address says: the site, and the path that the ad shows."""
    try:
        site = urlsplit(cells.get("finalurl", "").split(";")[0]).hostname or ""
    except ValueError:
        site = ""
    path = "/".join(p for p in (cells.get("path1", ""), cells.get("path2", "")) if p)
    return write_facts([pair for pair in (("site", site.removeprefix("www.")), ("path", path)) if pair[1]])


def _bad(provenance: Provenance, field: str, reason: str, remedy: str | None) -> BadRow:
    return BadRow(provenance=provenance, field=field, reason=reason, remedy=remedy)
