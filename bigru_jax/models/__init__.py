"""Flax Linen modules, thin over `ops`."""
