"""The accumulated metrics against scikit-learn."""

import jax.numpy as jnp
import numpy as np
from sklearn.metrics import accuracy_score, f1_score

from bigru_jax.metrics import ClassificationMetrics


def test_metrics_equal_scikit_learn_over_two_batches():
  rng = np.random.default_rng(0)
  labels = rng.integers(0, 4, 20)  # Class 4 never occurs.
  predictions = np.where(rng.random(20) < 0.5, labels, (labels + 1) % 4)
  losses = rng.random(20)
  valid = np.arange(20) < 17  # The last three are padding examples.
  accumulated = ClassificationMetrics.zeros(5)
  for part in (slice(0, 12), slice(12, 20)):
    arrays = (losses, valid * 1.0, labels, predictions, valid)
    accumulated = accumulated.update(*(jnp.asarray(a[part]) for a in arrays))
  found = accumulated.compute()
  assert found['examples'] == 17
  assert np.isclose(found['loss'], losses[:17].mean())
  assert found['accuracy'] == accuracy_score(labels[:17], predictions[:17])
  assert np.isclose(
    found['macro_f1'],
    f1_score(labels[:17], predictions[:17], average='macro'),
  )
