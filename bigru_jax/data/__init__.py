"""From text to padded batches, in NumPy; nothing here imports JAX."""
