"""Training and evaluation with soft labels and example weights."""

import dataclasses
import json

import jax
import numpy as np
import optax
import pandas as pd
import pytest

import bigru_jax
from bigru_jax import parallel
from bigru_jax.data.class_weights import weigh_classes
from bigru_jax.data.prepare import prepare
from bigru_jax.models.build import make_classifier
from bigru_jax.tasks import make_loss_fn
from bigru_jax.training.program import task_of

RNG = np.random.default_rng(0)
NAMES = ['a', 'b', 'c']
WORDS = 'a fine dull long film plot cast of the'.split()
TEXTS = [' '.join(RNG.choice(WORDS, 3 + i % 5)) for i in range(48)]
SHARES = RNG.dirichlet([0.5, 0.5, 0.5], 48).astype(np.float32)
VALUES = RNG.integers(0, 5, (48, 3)).astype(np.float32) / 4
WEIGHTS = RNG.integers(1, 9, 48).astype(np.float32) / 4
CONFIG = bigru_jax.Config(
  epochs=1, embedding_size=4, hidden_size=4, batch_size=8, learning_rate=0.02,
  label_column='a,b,c', dropout=0.0, embedding_dropout=0.0, explain=False,
)  # fmt: skip
SINGLE = dataclasses.replace(CONFIG, soft_labels=True)
MULTI = dataclasses.replace(CONFIG, task='multi_label')


def _table(values, weights=None):
  columns = dict(zip(NAMES, np.transpose(values)))
  if weights is not None:
    columns['w'] = weights
  return pd.DataFrame({'text': TEXTS, **columns})


def _weighted(config):
  return dataclasses.replace(config, weight_column='w')


def _batch(config, table, indices):
  """Returns the task, and a batch of the texts with these indices."""
  held_out = table.iloc[:3]
  corpus = {'train': table, 'validation': held_out, 'test': held_out}
  data = weigh_classes(prepare(config, corpus), config.class_weights)
  split, size = data.splits['train'], -(-len(indices) // 4) * 4
  batch = split.batch(indices, max(split.buckets), size)
  return task_of(config, data), batch


def _value_and_grad(config, table, indices):
  """Returns the loss and the gradient of a batch of `_batch`."""
  task, batch = _batch(config, table, indices)
  mesh = parallel.make_mesh(4)
  model = make_classifier(config, len(WORDS) + 2, task.num_outputs)
  example = {name: x[:1] for name, x in batch.items()}
  params = model.init(jax.random.key(0), example)['params']
  model = model.clone(embedding_axis=parallel.embedding_axis(params, mesh))
  value_and_grad = parallel.value_and_grad(make_loss_fn(model, task), mesh)
  placed = parallel.place_batch(batch, mesh)
  return jax.jit(value_and_grad)(params, placed, None)


def _assert_equal(ours, others, rtol=2e-5):
  for x, y in zip(jax.tree.leaves(ours), jax.tree.leaves(others), strict=True):
    np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-6)


@pytest.mark.parametrize(
  'config, values', [(SINGLE, SHARES), (MULTI, VALUES)], ids=['one', 'many']
)
def test_a_weight_of_two_is_a_row_twice_and_zero_is_none(config, values):
  all_rows, some = np.arange(48), np.arange(10, 20)
  weights = np.ones(48)
  weights[some] = 2
  weighted = _weighted(config)
  rows_twice = np.concatenate([all_rows, some])
  twice = _value_and_grad(config, _table(values), rows_twice)
  two = _value_and_grad(weighted, _table(values, weights), all_rows)
  _assert_equal(two, twice)
  weights[some] = 0
  without = _value_and_grad(config, _table(values), np.delete(all_rows, some))
  zero = _value_and_grad(weighted, _table(values, weights), all_rows)
  _assert_equal(zero, without)
  assert not np.isclose(zero[0], twice[0], rtol=1e-4)


@pytest.mark.parametrize('loss', ['softmax', 'sigmoid'])
@pytest.mark.parametrize('class_weights', ['', '1,3,0.5'])
def test_the_loss_of_a_distribution_is_by_definition(loss, class_weights):
  config = dataclasses.replace(
    _weighted(SINGLE), loss=loss, class_weights=class_weights
  )
  task, batch = _batch(config, _table(SHARES, WEIGHTS), np.arange(48))
  logits = RNG.normal(size=(48, 3)).astype(np.float32)
  losses = task.losses(logits, batch)
  if loss == 'softmax':
    expected = optax.softmax_cross_entropy(logits, SHARES)
  else:
    expected = optax.sigmoid_binary_cross_entropy(logits, SHARES).sum(-1)
  np.testing.assert_allclose(losses, expected, rtol=1e-5)
  factors = SHARES @ np.array([1, 3, 0.5]) if class_weights else 1
  np.testing.assert_allclose(batch['weights'], WEIGHTS * factors, rtol=1e-5)


@pytest.mark.parametrize('class_weights', ['', '1,3,0.5'])
def test_the_loss_of_soft_labels_is_by_definition(class_weights):
  config = dataclasses.replace(_weighted(MULTI), class_weights=class_weights)
  task, batch = _batch(config, _table(VALUES, WEIGHTS), np.arange(48))
  logits = RNG.normal(size=(48, 3))
  probabilities = 1 / (1 + np.exp(-logits))
  factors = np.array([1, 3, 0.5]) if class_weights else 1
  expected = -(
    factors * VALUES * np.log(probabilities)
    + (1 - VALUES) * np.log(1 - probabilities)
  ).sum(1)
  losses = task.losses(logits.astype(np.float32), batch)
  np.testing.assert_allclose(losses, expected, rtol=1e-5)
  np.testing.assert_array_equal(batch['weights'], WEIGHTS)


def _lines(workdir):
  lines = (workdir / 'metrics.jsonl').read_text().splitlines()
  names = 'examples_per_second', 'tokens_per_second'
  return [
    {k: x for k, x in json.loads(line).items() if k not in names}
    for line in lines
  ]


@pytest.mark.parametrize('task', ['single_label', 'multi_label'])
def test_numbers_0_and_1_train_to_the_bits_of_names(tmp_path, task):
  is_multi_label = task == 'multi_label'
  hot = VALUES >= 0.5 if is_multi_label else np.eye(3)[np.arange(48) % 3]
  names = [[n for n, x in zip(NAMES, row) if x] for row in hot]
  names = names if is_multi_label else [x for (x,) in names]
  config = MULTI if is_multi_label else SINGLE
  run = bigru_jax.train(
    config, tmp_path / 'numbers', {'train': _table(hot.astype(float))}
  )
  config = dataclasses.replace(config, label_column='label', soft_labels=False)
  other = bigru_jax.train(config, tmp_path / 'names', {'train': (TEXTS, names)})
  ours, others = jax.tree.leaves(run.params), jax.tree.leaves(other.params)
  for x, y in zip(ours, others, strict=True):
    np.testing.assert_array_equal(x, y)
  assert _lines(tmp_path / 'numbers') == _lines(tmp_path / 'names')


@pytest.mark.parametrize(
  'config, values', [(SINGLE, SHARES), (MULTI, VALUES)], ids=['one', 'many']
)
def test_a_run_is_evaluated_with_soft_labels_and_weights(
  tmp_path, config, values
):
  config = _weighted(config)
  table = _table(values, WEIGHTS)
  test = table.iloc[:20]
  corpus = {'train': table, 'test': test}
  run = bigru_jax.train(config, tmp_path / 'run', corpus)
  result = json.loads((tmp_path / 'run/result.json').read_text())['test']
  p = np.array(
    [list(x['probabilities'].values()) for x in run.predict(TEXTS[:20])]
  )
  y, w = values[:20], WEIGHTS[:20]
  losses = -(y * np.log(p)).sum(1)
  if config.task == 'multi_label':
    losses -= ((1 - y) * np.log(1 - p)).sum(1)
  expected = (losses * w).sum() / w.sum()
  np.testing.assert_allclose(result['loss'], expected, rtol=1e-4)
  evaluation = run.evaluate(TEXTS[:20], y, weights=w)
  np.testing.assert_allclose(evaluation['loss'], expected, rtol=1e-4)
  for name, value in result.items():
    np.testing.assert_allclose(evaluation[name], value, rtol=1e-4, atol=1e-6)
  unweighted = run.evaluate(TEXTS[:20], y)
  np.testing.assert_allclose(unweighted['loss'], losses.mean(), rtol=1e-4)
  objects = [dict(zip(NAMES, row)) for row in y.tolist()]
  if config.soft_labels:
    again = run.evaluate(TEXTS[:20], objects, weights=w.tolist())
    assert dict(again) == dict(evaluation)
  for weights, message in [
    ([1] * 19, '20 labels and 19 weights'),
    ([-1] * 20, "weights, row 1: 'weight' is not a weight: -1"),
    ([0] * 20, 'weights: all weights are 0'),
  ]:
    with pytest.raises(ValueError, match=message):
      run.evaluate(TEXTS[:20], y, weights=weights)


def test_a_run_is_evaluated_without_class_weights_loaded_or_not(tmp_path):
  config = dataclasses.replace(MULTI, class_weights='1,3,0.5')
  run = bigru_jax.train(config, tmp_path / 'run', {'train': _table(VALUES)})
  loaded = bigru_jax.load(tmp_path / 'run')
  p = np.array([list(x['probabilities'].values()) for x in run.predict(TEXTS)])
  losses = -(VALUES * np.log(p) + (1 - VALUES) * np.log(1 - p)).sum(1)
  for evaluated in (run, loaded):
    loss = evaluated.evaluate(TEXTS, VALUES)['loss']
    np.testing.assert_allclose(loss, losses.mean(), rtol=1e-4)
