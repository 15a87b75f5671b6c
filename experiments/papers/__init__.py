"""The rows of papers: what they report, how we run them, what we got."""
