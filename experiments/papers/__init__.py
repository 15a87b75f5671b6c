"""The rows of papers: published scores, recipes and our results."""
