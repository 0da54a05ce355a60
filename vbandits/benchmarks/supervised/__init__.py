"""Supervised classification: methods are trained on images and judged on clean, corrupted and foreign ones."""
