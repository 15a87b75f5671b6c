"""Comparisons of runs and of settings, and their tables."""
