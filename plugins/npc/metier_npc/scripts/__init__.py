"""Dialogue scripts as their formats write them: read into items, and back without losing a byte."""
