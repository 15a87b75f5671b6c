"""Metrics and reports of trained models."""
