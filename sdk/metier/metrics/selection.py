"""Selects an evaluation's measures: the contract's by name, else its kind's own; and always the checks'."""

from __future__ import annotations

from collections.abc import Sequence

from metier.contracts import Check, TaskContract, TaskKind, UsageError
from metier.contracts.nearest import did_you_mean
from metier.metrics.agreement import ACCURACY, EXACT_MATCH, FIELD_F1, MACRO_F1, SPAN_F1, VALID_REPLY
from metier.metrics.checks import check_measures
from metier.metrics.measures import Measure, from_plugin
from metier.metrics.overlap import BLEU, CHRF, ROUGE_L
from metier.plugins.metric import Metric
from metier.plugins.registry import load_plugins

BUILT_IN = {m.name: m for m in (BLEU, CHRF, ROUGE_L, EXACT_MATCH, ACCURACY, MACRO_F1, SPAN_F1, FIELD_F1, VALID_REPLY)}

_OF_KIND = {
    TaskKind.GENERATE: (BLEU, CHRF, ROUGE_L),
    TaskKind.DIALOGUE: (BLEU, CHRF, ROUGE_L),
    TaskKind.TRANSLATE: (BLEU, CHRF),
    TaskKind.CLASSIFY: (ACCURACY, MACRO_F1),
    TaskKind.EXTRACT: (SPAN_F1, EXACT_MATCH),
    TaskKind.RELATE: (FIELD_F1, EXACT_MATCH),
    TaskKind.RANK: (EXACT_MATCH,),
}


def choose_measures(
    task: TaskContract, *, wanted: Sequence[str | Metric] = (), checks: Sequence[Check] = ()
) -> list[Measure]:
    """Measures by name or as a plugin's objects; the default is the contract's, else the kind's.

    Other names than Metier's own are looked up among the installed plugins.

    Raises:
        UsageError: no such metric exists.
    """
    chosen = [_measure(item) for item in (wanted or task.metrics)] or list(_of_task(task))
    # Every text is a valid text reply; only structured replies can be invalid.
    if task.reply.name in {"json", "label", "spans"}:
        chosen.append(VALID_REPLY)
    return list(dict.fromkeys([*chosen, *check_measures(checks)]))


def _measure(wanted: str | Metric) -> Measure:
    if isinstance(wanted, Metric):
        return from_plugin(wanted)
    if wanted in BUILT_IN:
        return BUILT_IN[wanted]
    plugins = load_plugins().metrics
    if wanted not in plugins:
        known = [*BUILT_IN, *plugins]
        raise UsageError(
            f"there is no metric {wanted}{did_you_mean(wanted, known)}", remedy=f"there are: {', '.join(known)}"
        )
    return from_plugin(plugins[wanted])


def _of_task(task: TaskContract) -> Sequence[Measure]:
    kind = task.kind
    if kind is TaskKind.EXTRACT and "spans" not in task.output.get("properties", {}):
        return (FIELD_F1, EXACT_MATCH)
    if kind is TaskKind.CLASSIFY and not task.labels:
        return (FIELD_F1, EXACT_MATCH)
    if kind in {TaskKind.GENERATE, TaskKind.DIALOGUE, TaskKind.TRANSLATE} and task.reply.name == "json":
        return (CHRF, FIELD_F1)
    return _OF_KIND[kind]
