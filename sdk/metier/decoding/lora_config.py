"""Checks PEFT's adapter_config.json: values that PEFT cannot have written, and kinds of adapters that no slot can hold.
It knows no tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from metier.contracts import BundleError, UsageError

MAX_PATTERNS = 4096
"""Entries of rank_pattern or alpha_pattern: more than any model has projections."""

MERGED = "merge it into a bundle of its own: `metier export FOLDER --base BASE --task TASK --out BUNDLE`"


def check_config(config: Mapping[str, Any], where: str | None = None) -> None:
    """Reject what a slot cannot hold.

    Raises:
        UsageError: with the reason, and a merged export as the remedy.
        BundleError: a value has the wrong type, or is out of its bounds.
    """
    _check_values(config, where)
    kind = str(config.get("peft_type", "LORA")).upper().removeprefix("PEFTTYPE.")
    if kind != "LORA":
        raise unsupported(f"its kind is {kind}, and slots hold LoRA", where)
    reasons = {
        "use_dora": "DoRA scales whole weights, not only a low-rank difference",
        "use_qalora": "QA-LoRA pools its inputs",
        "use_bdlora": "BD-LoRA's blocks are no plain LoRA",
        "modules_to_save": "it carries whole trained modules (modules_to_save)",
        "trainable_token_indices": "it carries trained token embeddings",
        "target_parameters": "it adapts bare parameters (target_parameters), not modules",
        "layer_replication": "it replicates layers of the base",
        "lora_bias": "it carries trained biases (lora_bias)",
        "alora_invocation_tokens": "an activated LoRA begins in the middle of a prompt",
        "megatron_config": "its modules are Megatron's",
        "arrow_config": "Arrow routes between several LoRAs",
        "kasa_config": "KaSA changes the base's weights",
        "monteclora_config": "MonteCLoRA samples its weights",
        "velora_config": None,
    }
    for key, reason in reasons.items():
        if reason and config.get(key):
            raise unsupported(reason, where)
    if config.get("bias", "none") not in ("none", None):
        raise unsupported("it carries trained biases", where)
    start = config.get("init_lora_weights", True)
    if isinstance(start, str) and start.split("_")[0].lower() in {"pissa", "olora", "corda", "loftq", "lora"}:
        raise UsageError(
            f"its start ({start}) changed the base's weights, so that it fits only that changed base",
            where=where,
            remedy="save it with PEFT's path_initial_model_for_weight_conversion, or " + MERGED,
        )


def _check_values(config: Mapping[str, Any], where: str | None) -> None:
    """Raise BundleError for values of adapter_config.json that PEFT itself cannot have written."""
    if not isinstance(config, Mapping):
        raise _invalid("it is not a JSON object", where)
    for key, most in (("r", 2**16), ("lora_alpha", 2**24)):
        if key in config:
            _check_number(key, config[key], most, where)
        patterns = config.get({"r": "rank_pattern"}.get(key, "alpha_pattern")) or {}
        if not isinstance(patterns, Mapping) or len(patterns) > MAX_PATTERNS:
            raise _invalid(f"the patterns for {key} are not an object of at most {MAX_PATTERNS} entries", where)
        for pattern, value in patterns.items():
            _check_number(f"{key} of {pattern}", value, most, where)
            try:
                re.compile(rf"(.*\.)?({pattern})$")
            except (re.error, RecursionError, OverflowError) as error:
                raise _invalid(f"the pattern {pattern!r} is not a regular expression: {error}", where) from error


def _check_number(name: str, value: Any, most: float, where: str | None) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:  # NaN fails, too
        raise _invalid(f"{name} is {value!r}, not a number from 0 to {most}", where)


def unsupported(reason: str, where: str | None) -> UsageError:
    """The error of an adapter that no slot can hold; a merged export is its remedy."""
    return UsageError(f"this cannot be a LoRA slot: {reason}", where=where, remedy=MERGED)


def _invalid(reason: str, where: str | None) -> BundleError:
    return BundleError(f"invalid adapter_config.json: {reason}", where=where, remedy="save the adapter with PEFT again")
