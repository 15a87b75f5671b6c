"""Attributions, and tests of whether attention explains the predictions."""
