"""Functions of arrays: no Flax, no flags, no global state."""
