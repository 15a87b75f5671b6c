"""What a model looks at, and tests of whether that explains its answers."""
