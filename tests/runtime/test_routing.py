"""One module decides which predictor answers, and warns about an adapter of another task once."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import pytest

from metier.contracts import UsageError
from metier.runtime import AdapterMismatchWarning, Engine
from metier.runtime.routing import Router


def entry(name: str, task: str) -> Any:
    return SimpleNamespace(name=name, card=SimpleNamespace(tasks=(SimpleNamespace(name=task),)))


def router(*adapters: Any) -> Router:
    manifest = SimpleNamespace(adapters=adapters, named=adapters, heads=())
    bundle: Any = SimpleNamespace(manifest=manifest, tokenizer=None, path="bundle")
    return Router(bundle, SimpleNamespace(), {}, 1)  # type: ignore[arg-type]


COPY: Any = SimpleNamespace(name="tiny.copy")
MOOD: Any = SimpleNamespace(name="tiny.mood")


def test_a_task_takes_the_one_adapter_that_was_trained_for_it() -> None:
    one = router(entry("copier", "tiny.copy"), entry("feeler", "tiny.mood"))
    assert one.predictor(COPY, None).name == "copier" and one.predictor(MOOD, "base").name is None
    two = router(entry("a", "tiny.copy"), entry("b", "tiny.copy"))
    with pytest.raises(UsageError, match=r"2 adapters were trained for tiny\.copy"):
        two.predictor(COPY, None)
    assert two.predictor(COPY, "b").name == "b"


def test_an_adapter_of_another_task_is_warned_about_once() -> None:
    one = router(entry("copier", "tiny.copy"))
    with pytest.warns(AdapterMismatchWarning, match=r"copier was trained for tiny\.copy, not for tiny\.mood"):
        assert one.predictor(MOOD, "copier").name == "copier"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one.predictor(MOOD, "copier")
        one.predictor(COPY, "copier")
        one.predictor(MOOD, "base")
        one.predictor(MOOD, "live")  # loaded at run time: what it was trained for is not known


def test_a_bundle_with_a_decoder_reports_that_it_generates(engine: Engine) -> None:
    assert engine.predictor("tiny.copy").writes and engine.predictor("tiny.copy").name is None
