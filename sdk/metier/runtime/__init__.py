"""Contracts in, outputs out: the engine that ships in a product, on ONNX Runtime. It never loads torch."""

from metier._lazy import lazy_names

__all__, __getattr__ = lazy_names(
    __name__,
    {
        "metier.contracts.answer": "Answer Caller",
        "metier.runtime.chat": "ChatReply",
        "metier.runtime.recorder": "Recorder",
        "metier.runtime.routing": "AdapterMismatchWarning",
        "metier.runtime.bundle": "Bundle open_bundle",
        "metier.decoding.tokenizer": "ChatTokenizer",
        "metier.runtime.engine": "Engine",
        "metier.decoding.generation": "Generation",
        "metier.decoding.sampling": "Sampling",
        "metier.runtime.doctor": "diagnose",
    },
)
