"""Bidirectional GRUs with attention, in JAX and Flax."""
