"""From text to padded batches; NumPy only, JAX is never imported."""
