"""Answers and what users did with them: the store, import and export, and the training data that results."""

from metier._lazy import lazy_names

__all__, __getattr__ = lazy_names(
    __name__,
    {
        "metier.feedback.deletion": "Erased",
        "metier.feedback.store": "FeedbackStore",
        "metier.feedback.store_recorder": "StoreRecorder",
        "metier.feedback.stored_event": "StoredEvent",
        "metier.feedback.training_data": "FeedbackData collect_feedback",
    },
)
