"""From rows to samples: column mapping, cleaning, splitting, personal data, and the data report. It knows no model."""

from metier._lazy import lazy_names

__all__, __getattr__ = lazy_names(
    __name__,
    {
        "metier.data.adapter": "TableAdapter",
        "metier.data.documents": "read_folder read_passages",
        "metier.data.leakage": "leaks without_leaks",
        "metier.data.load": "load_samples",
        "metier.data.continuation": "held_out_data continuation_data",
        "metier.data.pii": "scrub scrub_sample",
        "metier.data.report": "DataReport data_report",
        "metier.data.samples_file": "read_samples write_samples",
        "metier.data.split": "Split select",
        "metier.readers.tables": "Row read_rows",
        "metier.data.training": "TrainingData training_data",
        "metier.runtime.passage_index": "Passage PassageIndex terms",
    },
)
