"""Results for readers: tables, figures, the page of a run."""
