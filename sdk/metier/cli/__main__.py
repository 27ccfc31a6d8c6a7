"""`python -m metier.cli`, for hosts where the console script is not on the path."""

from metier.cli import main

main()
