"""The loop from users' feedback to better weights: an iteration trains, measures and promotes a version.

torch loads only when something is trained or measured in it.
"""

from metier._lazy import lazy_names

__all__, __getattr__ = lazy_names(
    __name__,
    {
        "metier.iterate.canary": "Trial compare",
        "metier.iterate.iteration": "Turn turn",
        "metier.iterate.erasure": "Forgotten forget",
        "metier.iterate.gate": "Gate Verdict",
        "metier.iterate.training_set": "Settings",
        "metier.iterate.live_engine": "Live",
        "metier.iterate.plan": "IterationPlan",
        "metier.iterate.registry": "Registry",
    },
)
