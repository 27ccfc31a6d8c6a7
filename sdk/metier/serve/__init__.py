"""An HTTP server over bundles: OpenAI's endpoints, the tasks' own, adapters at run time, metrics and health."""

from metier._lazy import lazy_names

__all__, __getattr__ = lazy_names(
    __name__,
    {
        "metier.serve.app": "create_app",
        "metier.serve.models": "ServedModels",
        "metier.serve.server": "serve",
        "metier.serve.settings": "ServeSettings",
    },
)
