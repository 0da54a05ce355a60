"""Claims about implicit-bias variational inference that can be computed, computed with the suite's own classes."""
