"""The conformance kit: a plugin's contract test in one line, as named checks whose messages state what to change.

from metier.testing import conformance_test
test_conformance = conformance_test(my_vertical)
"""

from metier.testing.kit import BoundCheck, ConformanceError, check_vertical, conformance_test, vertical_checks

__all__ = ["BoundCheck", "ConformanceError", "check_vertical", "conformance_test", "vertical_checks"]
