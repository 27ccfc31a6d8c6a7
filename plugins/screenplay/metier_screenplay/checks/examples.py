"""The brief and the scene that the checks' examples are made of."""

from __future__ import annotations

from metier.contracts import Value

BRIEF: Value = {
    "logline": "A baker finds a stranger among the flour sacks.",
    "beats": ["Mara hears a noise.", "Tom owns up."],
    "characters": [{"name": "Mara", "about": "baker, 50s"}, {"name": "Tom"}],
    "setting": "INT",
    "place": "bakery",
    "time": "night",
    "max_pages": 1,
}
TEXT: Value = {
    "text": (
        "INT. BAKERY - NIGHT\n\nMara lifts a lamp. A flour sack sneezes.\n\nMARA\nOut. Slowly.\n\n"
        "TOM (O.S.)\n(muffled)\nIt was warm in here."
    )
}


def scene(body: str) -> Value:
    """The example's scene with another body."""
    return {"text": f"INT. BAKERY - NIGHT\n\n{body}"}
