"""What things are: modalities, payloads, task contracts, samples, bases, recipes, verticals, fit. No I/O beyond a
payload's own file, no torch, no onnxruntime."""

from metier.contracts.adapter import DataAdapter
from metier.contracts.alignment import AlignmentStep, Dpo, Grpo, Kto, Ppo, RewardModelling
from metier.contracts.answer import ANONYMOUS, Answer, Caller, FinishReason
from metier.contracts.base import Architecture, Base
from metier.contracts.bridge import Bridge
from metier.contracts.bundle import Manifest
from metier.contracts.check import Check, Finding, run_checks
from metier.contracts.errors import (
    BaseError,
    BundleError,
    ContractError,
    DataError,
    DeviceError,
    ExportError,
    MetierError,
    PluginError,
    RecipeError,
    RequestError,
    ResourceError,
    UsageError,
)
from metier.contracts.feedback import EVENT_KINDS, EventKind, FeedbackEvent
from metier.contracts.finetune import DataSummary, FineTune, FineTuneCard
from metier.contracts.fit import FitFinding, FitReport, Verdict
from metier.contracts.licence import Terms, terms_of
from metier.contracts.modality import Modality, modalities_of
from metier.contracts.nearest import did_you_mean, nearest
from metier.contracts.packaged import fine_tunes_in, recipes_in, samples_in
from metier.contracts.payloads import PAYLOADS, Image, Mesh, Payload, Speech, Video
from metier.contracts.reading import Reading, read_from, readings, renderings
from metier.contracts.recipe import Lora, Recipe
from metier.contracts.sample import (
    BadRow,
    JudgedSample,
    Preference,
    Provenance,
    Sample,
    Value,
    samples_sha256,
)
from metier.contracts.schema import SCHEMA_VERSION, Problem, problems, schema_of
from metier.contracts.task import Prompt, ReplyFormat, TaskContract, TaskKind, Turn, prompt
from metier.contracts.vertical import SampleSet, Vertical

__all__ = [
    "ANONYMOUS",
    "EVENT_KINDS",
    "PAYLOADS",
    "SCHEMA_VERSION",
    "AlignmentStep",
    "Answer",
    "Architecture",
    "BadRow",
    "Base",
    "BaseError",
    "Bridge",
    "BundleError",
    "Caller",
    "Check",
    "ContractError",
    "DataAdapter",
    "DataError",
    "DataSummary",
    "DeviceError",
    "Dpo",
    "EventKind",
    "ExportError",
    "FeedbackEvent",
    "Finding",
    "FineTune",
    "FineTuneCard",
    "FinishReason",
    "FitFinding",
    "FitReport",
    "Grpo",
    "Image",
    "JudgedSample",
    "Kto",
    "Lora",
    "Manifest",
    "Mesh",
    "MetierError",
    "Modality",
    "Payload",
    "PluginError",
    "Ppo",
    "Preference",
    "Problem",
    "Prompt",
    "Provenance",
    "Reading",
    "Recipe",
    "RecipeError",
    "ReplyFormat",
    "RequestError",
    "ResourceError",
    "RewardModelling",
    "Sample",
    "SampleSet",
    "Speech",
    "TaskContract",
    "TaskKind",
    "Terms",
    "Turn",
    "UsageError",
    "Value",
    "Verdict",
    "Vertical",
    "Video",
    "did_you_mean",
    "fine_tunes_in",
    "modalities_of",
    "nearest",
    "problems",
    "prompt",
    "read_from",
    "readings",
    "recipes_in",
    "renderings",
    "run_checks",
    "samples_in",
    "samples_sha256",
    "schema_of",
    "terms_of",
]
