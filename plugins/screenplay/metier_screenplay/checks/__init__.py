"""What a script editor would mark, one file a check; each serves as metric, as guard in a product and as reward."""

from __future__ import annotations

from metier.contracts import Check
from metier_screenplay.checks.camera import camera
from metier_screenplay.checks.cast import cast
from metier_screenplay.checks.graph import GRAPH_CHECKS
from metier_screenplay.checks.heading import heading
from metier_screenplay.checks.length import length
from metier_screenplay.checks.rewrite import REWRITE_CHECKS
from metier_screenplay.checks.scene_form import scene_form
from metier_screenplay.checks.whole import WHOLE_CHECKS

CHECKS: tuple[Check, ...] = (scene_form, heading, cast, length, camera, *WHOLE_CHECKS, *REWRITE_CHECKS, *GRAPH_CHECKS)

__all__ = ["CHECKS", "GRAPH_CHECKS", "REWRITE_CHECKS", "camera", "cast", "heading", "length", "scene_form"]
