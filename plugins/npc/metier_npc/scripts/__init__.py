"""Dialogue scripts as their formats write them: read into items, and back without a byte lost."""
