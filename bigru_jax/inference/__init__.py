"""Trained runs: their predictions, evaluation and ensembles."""
