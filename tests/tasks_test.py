"""Labels in the loss, the metrics and the predictions."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, rel_entr, softmax
from sklearn import metrics as sklearn_metrics

from bigru_jax.config import Config
from bigru_jax.losses import LOSSES, softmax_focal_loss
from bigru_jax.tasks import MultiLabel, SingleLabel, make_task


def test_two_classes_have_one_sigmoid_output():
  task = SingleLabel(2, 'sigmoid')
  assert task.num_outputs == 1
  found = task.probabilities(jnp.array([[2.0]]))
  np.testing.assert_allclose(found, [[expit(-2.0), expit(2.0)]], rtol=1e-6)
  losses = task.losses(jnp.array([[2.0]]), {'labels': jnp.array([1])})
  np.testing.assert_allclose(losses, [-np.log(expit(2.0))], rtol=1e-6)


@pytest.mark.parametrize(
  'task', [SingleLabel(3), SingleLabel(3, 'sigmoid'), MultiLabel(3)]
)
def test_divergences_equal_scipys(task):
  rng = np.random.default_rng(0)
  p, q = rng.normal(size=(2, 4, 3)).astype(np.float32)
  found = task.activation.divergence(jnp.asarray(p), jnp.asarray(q))
  if task == SingleLabel(3):
    expected = rel_entr(softmax(p, -1), softmax(q, -1)).sum(-1)
  else:
    p, q = expit(p), expit(q)
    expected = (rel_entr(p, q) + rel_entr(1 - p, 1 - q)).sum(-1)
  np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize('loss', ['softmax', 'sigmoid'])
def test_more_classes_have_one_output_each(loss):
  task = SingleLabel(3, loss)
  logits = np.array([[1.0, -2.0, 0.5]])
  expected = softmax(logits, -1) if loss == 'softmax' else expit(logits)
  assert task.num_outputs == 3
  np.testing.assert_allclose(task.probabilities(jnp.asarray(logits)), expected)


ONE_OF_TWO = SingleLabel(2, 'sigmoid', label_smoothing=0.1)
TASKS = [
  *(SingleLabel(3, loss, 0.1) for loss in ('softmax', 'sigmoid')),
  ONE_OF_TWO,
  MultiLabel(3, 0.1, (1.0, 3.0, 0.5)),
  SingleLabel(3, 'focal', 0.1, loss_options=(('focal_gamma', 1.5),)),
  MultiLabel(3, 0.1, (1.0, 3.0, 0.5), 'focal', (('focal_gamma', 1.5),)),
  MultiLabel(3, 0.1, (1.0, 3.0, 0.5), 'asymmetric'),
]


@pytest.mark.parametrize('task', TASKS, ids=str)
def test_targets_of_zeros_and_ones_are_labels_bit_for_bit(task):
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(5, task.num_outputs)).astype(np.float32)
  labels = rng.integers(0, task.num_classes, 5)
  targets = np.eye(task.num_classes, dtype=np.float32)[labels]
  if isinstance(task, MultiLabel):
    labels = targets > 0
  hard = task.losses(logits, {'labels': labels})
  # The labels beside the targets are not read.
  soft = task.losses(logits, {'labels': labels[::-1], 'targets': targets})
  np.testing.assert_array_equal(hard, soft)


@pytest.mark.parametrize('task', TASKS, ids=str)
def test_the_losses_of_soft_targets_are_expected_losses(task):
  # Each loss is linear in its target.
  rng = np.random.default_rng(1)
  logits = rng.normal(size=(5, task.num_outputs)).astype(np.float32)
  shares = rng.dirichlet(np.ones(task.num_classes), 5).astype(np.float32)
  expected = 0.0
  for c, is_class in enumerate(np.eye(task.num_classes, dtype=np.float32)):
    labels = np.full(5, c)
    if isinstance(task, MultiLabel):
      labels = np.tile(is_class > 0, (5, 1))
    expected += shares[:, c] * task.losses(logits, {'labels': labels})
  found = task.losses(logits, {'targets': shares, 'labels': None})
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_task_of_a_configuration_has_its_loss_and_the_options_of_it():
  logits, batch = jnp.array([[1.0, -2.0]]), {'labels': jnp.array([1])}
  fields = {'loss': 'focal', 'focal_gamma': 3.0}
  task = make_task(Config(**fields), 'ab')
  expected = softmax_focal_loss(logits, np.array([[0.0, 1.0]]), 3.0)
  np.testing.assert_array_equal(task.losses(logits, batch), expected)
  batch = {'labels': jnp.array([[True, True]])}
  for name, options in (('focal', {'focal_gamma': 3.0}), ('asymmetric', {})):
    config = Config(task='multi_label', loss=name, **options)
    task = make_task(config, 'ab', [2.0, 1.0])
    function = LOSSES[name].multi_label
    weights, y = np.array([2.0, 1.0]), np.ones((1, 2))
    expected = function(logits, y, weights, **options)
    np.testing.assert_allclose(task.losses(logits, batch), expected, rtol=1e-6)


def test_multi_label_has_one_cross_entropy_by_both_names():
  tasks = [
    make_task(Config(task='multi_label', loss=loss), 'abc')
    for loss in ('softmax', 'sigmoid')
  ]
  batch = {'labels': jnp.array([[True, False, True]])}
  logits = jnp.array([[1.0, -2.0, 0.5]])
  np.testing.assert_array_equal(*(x.losses(logits, batch) for x in tasks))
  assert all(not task.activation.sums_to_one for task in tasks)


def test_one_sigmoid_output_takes_the_target_of_the_second_class():
  targets = jnp.array([[0.9, 0.1], [0.25, 0.75]])
  np.testing.assert_array_equal(
    ONE_OF_TWO.targets({'targets': targets}), targets[:, 1:]
  )


def test_metrics_count_examples_of_weight_zero_but_no_padding():
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


@pytest.mark.parametrize('weights', [(), (1.0, 3.0, 0.5)])
def test_positive_texts_of_a_label_are_weighted(weights):
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(5, 3)).astype(np.float32)
  labels = rng.random((5, 3)) < 0.5
  task = MultiLabel(3, label_weights=weights)
  found = task.losses(jnp.asarray(logits), {'labels': jnp.asarray(labels)})
  probabilities = expit(logits.astype(np.float64))
  positive = np.array(weights or (1.0,)) * labels * np.log(probabilities)
  negative = ~labels * np.log(1 - probabilities)
  np.testing.assert_allclose(found, -(positive + negative).sum(1), rtol=1e-5)


def test_multi_label_metrics_equal_scikit_learn():
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(30, 4))
  labels = rng.random((30, 4)) < 0.4
  task, metrics = MultiLabel(4), MultiLabel(4).empty_metrics()
  for rows in (slice(0, 20), slice(20, 30)):
    padding = 25 - len(labels[rows])
    batch = {
      'labels': np.pad(labels[rows], ((0, padding), (0, 0))),
      'weights': np.arange(25) < 25 - padding,
      'lengths': (np.arange(25) < 25 - padding) * 3,
    }
    batch = {name: jnp.asarray(x) for name, x in batch.items()}
    padded = jnp.asarray(np.pad(logits[rows], ((0, padding), (0, 0))))
    losses = task.losses(padded, batch)
    metrics = task.update_metrics(metrics, padded, losses, batch)
  found, predictions = metrics.compute(), logits >= 0
  assert found['examples'] == 30
  assert found['accuracy'] == pytest.approx(
    sklearn_metrics.accuracy_score(labels, predictions)
  )
  for average in ('micro', 'macro'):
    assert found[f'{average}_f1'] == pytest.approx(
      sklearn_metrics.f1_score(labels, predictions, average=average)
    )
