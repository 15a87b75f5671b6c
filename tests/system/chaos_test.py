"""A dozen kills in CI; `chaos.py` takes as many as one has time for."""

import chaos
import pytest


@pytest.mark.slow
def test_killed_runs_end_as_undisturbed_ones():
  chaos.compare(kills=12, seed=1)
