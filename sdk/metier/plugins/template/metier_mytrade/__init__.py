"""The trade mytrade for Metier."""

from metier.contracts import Vertical
from metier.plugins import hookimpl


@hookimpl
def metier_verticals() -> list[Vertical]:
    """What this plugin brings: one trade."""
    from metier_mytrade.vertical import vertical

    return [vertical]
