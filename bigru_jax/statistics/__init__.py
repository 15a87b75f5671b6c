"""Intervals and tests: how far scores over texts and seeds can be trusted."""
