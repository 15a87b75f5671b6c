"""How labels enter the loss, the metrics and an answer."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, softmax

from bigru_jax.tasks import SingleLabel


def test_two_classes_take_one_sigmoid():
  task = SingleLabel(2, 'sigmoid')
  assert task.num_outputs == 1
  found = task.probabilities(jnp.array([[2.0]]))
  np.testing.assert_allclose(found, [[expit(-2.0), expit(2.0)]], rtol=1e-6)
  losses = task.losses(jnp.array([[2.0]]), {'labels': jnp.array([1])})
  np.testing.assert_allclose(losses, [-np.log(expit(2.0))], rtol=1e-6)


@pytest.mark.parametrize('loss', ['softmax', 'sigmoid'])
def test_more_classes_take_an_output_each(loss):
  task = SingleLabel(3, loss)
  logits = np.array([[1.0, -2.0, 0.5]])
  expected = softmax(logits, -1) if loss == 'softmax' else expit(logits)
  assert task.num_outputs == 3
  np.testing.assert_allclose(task.probabilities(jnp.asarray(logits)), expected)


def test_metrics_count_examples_of_no_weight_but_no_padding_examples():
  task = SingleLabel(2)
  batch = {
    'labels': jnp.array([0, 1, 1]),
    'weights': jnp.array([2.0, 0.0, 0.0]),  # Class 1 has weight zero.
    'lengths': jnp.array([3, 2, 0]),  # The last is a padding example.
  }
  logits = jnp.array([[9.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
  losses = task.losses(logits, batch)
  metrics = task.update_metrics(task.empty_metrics(), logits, losses, batch)
  found = metrics.compute()
  assert found['examples'] == 2
  assert found['accuracy'] == 0.5
  assert np.isclose(found['loss'], losses[0])
