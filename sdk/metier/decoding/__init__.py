"""Token ids in, tokens out: the ONNX decoder with its KV cache, LoRA rows, sampling and scheduler.
It knows no task."""

from metier._lazy import lazy_names

__all__, __getattr__ = lazy_names(
    __name__,
    {
        "metier.decoding.tokenizer": "ChatTokenizer",
        "metier.decoding.generation": "Generation Request",
        "metier.decoding.sampling": "Sampling",
    },
)
