"""Figures with matplotlib (the extra `plot`)."""
