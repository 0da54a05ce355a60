"""Tuning: the same number of settings of every method, on problems of their own, and the presets that come of it."""
