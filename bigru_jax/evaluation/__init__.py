"""Metrics and reports of a trained model, without a gradient."""
