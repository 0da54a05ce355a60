"""Distributions over functions, one method per file."""
