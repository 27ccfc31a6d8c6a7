"""Words of English and Chinese texts, compared, and whether a text is fluent: what checks of any trade build on."""

from metier.wording.fluency import broken_end, ended, repeated_words, rude_words, stray_words
from metier.wording.polarity import contradictions
from metier.wording.quantities import Quantity, quantities
from metier.wording.words import HAN, Text, content, normalise, parted, same, stem, tokens

__all__ = [
    "HAN",
    "Quantity",
    "Text",
    "broken_end",
    "content",
    "contradictions",
    "ended",
    "normalise",
    "parted",
    "quantities",
    "repeated_words",
    "rude_words",
    "same",
    "stem",
    "stray_words",
    "tokens",
]
