"""Shows results: tables, figures and the page of a run."""
