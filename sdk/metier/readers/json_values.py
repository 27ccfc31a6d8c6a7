"""Values that Excel and Parquet hold, as the plain JSON data that contracts are made of."""

from __future__ import annotations

import math
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any


def plain(value: Any) -> Any:
    """`value` as JSON data: dates as ISO 8601, decimals as numbers, NaN as None.

    Raises:
        TypeError: JSON cannot hold it (bytes that are not UTF-8, say).
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime) and value.time() == time() and value.tzinfo is None:
        return value.date().isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            raise TypeError("a cell holds bytes that are not text") from None
    raise TypeError(f"a cell holds a {type(value).__name__}, which is neither text nor a number")


def as_text(value: Any) -> str:
    """A cell as text: empty for None, a whole float from a spreadsheet without `.0`, true and false in lower case."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
