"""A reply must name the passages it is based on, and only passages that it was given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding, Value
from metier_support.case import order_text, passages
from metier_support.figures import figures
from metier_support.tasks import REPLY

RULE = "House rule: an answer names its sources"
# Numbers alone are names of things; these are terms.
_TERMS = {"amount", "percent", "span", "clock", "date"}


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding per unknown or doubled id, and per figure that only an unnamed passage holds."""
    given = dict(passages(input))
    used = output.get("used")
    named = [str(name) for name in used] if isinstance(used, list) else []
    found = [
        Finding(message=f"names the passage {name}, which was not given", rule=RULE, excerpt=name)
        for name in named
        if name not in given
    ]
    found += [
        Finding(message=f"names the passage {name} twice", rule=RULE, excerpt=name)
        for name in sorted({n for n in named if named.count(n) > 1})
    ]
    held = {name: {_key(f) for f in figures(text)} for name, text in given.items()}
    open_to = {key for name in named for key in held.get(name, ())}
    open_to |= {_key(f) for f in figures(order_text(input))}
    for figure in figures(str(output.get("reply", ""))):
        holders = [name for name, keys in held.items() if _key(figure) in keys]
        if figure.kind in _TERMS and holders and _key(figure) not in open_to:
            found.append(
                Finding(
                    message=f"says {figure.excerpt} from {holders[0]} without naming it",
                    rule=RULE,
                    excerpt=figure.excerpt,
                )
            )
    return found


def _key(figure: Any) -> tuple[str, str]:
    return figure.kind, figure.value


_CASE: Value = {
    "dialogue": [{"who": "customer", "text": "how much is express?"}],
    "passages": [{"id": "P1", "text": "Express costs £6.95."}, {"id": "P2", "text": "Returns within 30 days."}],
}
passages_named = Check(
    name="passages_named",
    title="Passages cited correctly",
    tasks=(REPLY,),
    run=run,
    passing=(_CASE, {"escalate": False, "used": ["P1"], "reply": "Express is £6.95."}),
    failing=(_CASE, {"escalate": False, "used": ["P2"], "reply": "Express is £6.95."}),
    description="The passages a reply stands on are named, and none that was not given.",
)
