"""The examples that the linear baseline fits."""

import numpy as np
from sklearn.metrics import log_loss

from bigru_jax.training import linear


def test_a_soft_label_is_a_positive_and_a_negative_example():
  rng = np.random.default_rng(0)
  target, weights = rng.integers(0, 5, 20) / 4, rng.integers(0, 3, 20)
  p = rng.uniform(0.1, 0.9, 20)
  rows, is_true, parts = linear._examples(target, weights, 3.0)
  losses = -(3 * target * np.log(p) + (1 - target) * np.log(1 - p))
  expected = (losses * weights).sum()
  ours = log_loss(is_true, p[rows], sample_weight=parts, normalize=False)
  np.testing.assert_allclose(ours, expected)
  hard = target > 0.5
  rows, is_true, parts = linear._examples(hard, weights, 3.0)
  assert rows.tolist() == list(range(20)) and is_true is hard
  np.testing.assert_array_equal(parts, weights * np.where(hard, 3, 1))
