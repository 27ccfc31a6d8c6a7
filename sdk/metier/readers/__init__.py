"""Files to rows, lazily: CSV, Excel, JSON Lines, Parquet, XML, with their encodings and their bad rows."""

from metier._lazy import lazy_names

__all__, __getattr__ = lazy_names(
    __name__,
    {
        "metier.readers.tables": "Row read_rows",
    },
)
