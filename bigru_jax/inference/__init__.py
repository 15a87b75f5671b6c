"""The trained run: predictions, evaluation, ensembles."""
