"""A dozen kills of a run; `chaos.py` makes any number of them."""

import chaos
import pytest


@pytest.mark.slow
def test_killed_runs_end_as_undisturbed_ones():
  chaos.compare(kills=12, seed=1)
