"""Metier teaches one general model many media trades, and ships the result into products as ONNX.

A name loads its module when it is first used, so that `import metier` stays light and never loads torch.
"""

import os

from metier._lazy import lazy_names

__version__ = "0.1.0"

# onnxruntime keeps a device id and reports its use unless this is set before it is imported; `0` in the environment
# leaves that to it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_names, __getattr__ = lazy_names(
    __name__,
    {
        "metier.contracts": (
            "BadRow Base Bridge Check DataAdapter FeedbackEvent FineTune Finding MetierError Modality Preference Prompt"
            " Provenance Recipe ReplyFormat Sample SampleSet TaskContract TaskKind Turn Vertical modalities_of prompt"
        ),
        "metier.contracts.fit": "FitReport fit",
        "metier.contracts.payloads": "Image Mesh Speech Video",
        "metier.plugins": "hookimpl",
        "metier.runtime": "Engine",
    },
)
__all__ = ["__version__", *_names]  # noqa: PLE0604


def __dir__() -> list[str]:
    return __all__
