"""What a model looked at, and tests of whether that explains its answer."""
