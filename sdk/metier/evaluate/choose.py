"""Which measures an evaluation takes: the contract's by name, else its kind's own; and always the checks'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from metier.contracts import Check, TaskContract, TaskKind, UsageError
from metier.contracts.nearest import did_you_mean
from metier.evaluate.agreement_metrics import ACCURACY, EXACT_MATCH, FIELD_F1, MACRO_F1, SPAN_F1, VALID_REPLY
from metier.evaluate.check_metrics import check_measures
from metier.evaluate.measures import Measure, from_plugin
from metier.evaluate.overlap_metrics import BLEU, CHRF, ROUGE_L
from metier.plugins.metric import Metric

BUILT_IN = {
    m.name: m for m in (BLEU, CHRF, ROUGE_L, EXACT_MATCH, ACCURACY, MACRO_F1, SPAN_F1, FIELD_F1, VALID_REPLY)
}

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
    task: TaskContract,
    *,
    names: Sequence[str] = (),
    plugin_metrics: Mapping[str, Metric] | None = None,
    checks: Sequence[Check] = (),
) -> list[Measure]:
    """Measures by name, Metier's own before a plugin's; without names the contract's, else the kind's.

    Raises:
        UsageError: a name is nobody's.
    """
    known = {name: from_plugin(metric) for name, metric in (plugin_metrics or {}).items()} | BUILT_IN
    wanted = tuple(names) or task.metrics
    if unknown := [name for name in wanted if name not in known]:
        raise UsageError(
            f"there is no metric {unknown[0]}{did_you_mean(unknown[0], known)}", remedy=f"there are: {', '.join(known)}"
        )
    chosen = [known[name] for name in wanted] or list(_of_task(task))
    # Every reply is some text; only structured replies can be wrong in form.
    if task.reply.name in {"json", "label", "spans"} and VALID_REPLY not in chosen:
        chosen.append(VALID_REPLY)
    return list(dict.fromkeys([*chosen, *check_measures(checks)]))


def _of_task(task: TaskContract) -> Sequence[Measure]:
    kind = task.kind
    if kind is TaskKind.EXTRACT and "spans" not in task.output.get("properties", {}):
        return (FIELD_F1, EXACT_MATCH)
    if kind is TaskKind.CLASSIFY and not task.labels:
        return (FIELD_F1, EXACT_MATCH)
    if kind in {TaskKind.GENERATE, TaskKind.DIALOGUE, TaskKind.TRANSLATE} and task.reply.name == "json":
        return (CHRF, FIELD_F1)
    return _OF_KIND[kind]
