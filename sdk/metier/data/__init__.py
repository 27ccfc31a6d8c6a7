"""From a user's file to samples: lazy readers, cleaning, splitting, personal data, and the report. Knows no model."""

from importlib import import_module
from typing import Any

_HOME = {
    "adapter": "TableAdapter",
    "clean": "deduplicate",
    "documents": "read_folder read_passages",
    "leakage": "leaks without_leaks",
    "load": "load_samples",
    "onward": "held_out_data onward_data",
    "pii": "scrub scrub_sample",
    "report": "DataReport data_report",
    "samples_file": "read_samples write_samples",
    "split": "Split select",
    "tables": "Row read_rows",
    "training": "TrainingData training_data",
}
_WHERE = {name: f"metier.data.{module}" for module, names in _HOME.items() for name in names.split()}
# The engine searches with them too; plugins, which know no runtime, have them from here.
_WHERE |= dict.fromkeys(("Passage", "PassageIndex", "terms"), "metier.runtime.passage_index")

__all__ = [*_WHERE]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'metier.data' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
