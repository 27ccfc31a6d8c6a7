"""Answers and what users did with them: the store, import and export, and the training data that results."""

from metier._lazy import lazy_names

__all__, __getattr__ = lazy_names(
    __name__,
    {
        "metier.feedback.records": "Answer Event",
        "metier.feedback.store": "Erased FeedbackStore",
        "metier.feedback.store_recorder": "StoreRecorder",
        "metier.feedback.harvest": "Harvest",
    },
)
