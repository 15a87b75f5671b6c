"""A run directory: its files, its log, its checkpoints."""
