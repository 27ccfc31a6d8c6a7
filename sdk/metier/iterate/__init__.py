"""The loop from users' feedback to better weights: an iteration trains, measures and promotes a version.

torch loads only when something is trained or measured in it.
"""

from metier._lazy import lazy_names

__all__, __getattr__ = lazy_names(
    __name__,
    {
        "metier.iterate.canary": "Trial compare",
        "metier.iterate.erasure": "ErasedSamples erase_from_registry",
        "metier.iterate.gate": "Gate GateVerdict",
        "metier.iterate.iteration": "Iteration run_iteration",
        "metier.iterate.live_engine": "LiveEngine",
        "metier.iterate.plan": "IterationPlan",
        "metier.iterate.registry": "Registry",
        "metier.iterate.rejected_days": "reject_days",
        "metier.iterate.training_set": "IterationSettings",
    },
)
