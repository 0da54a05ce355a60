"""Acquisition: which labels to buy. Draws and features in, rows of the pool out; it knows nothing of networks."""
