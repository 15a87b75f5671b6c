"""Epochs on the mesh: devices, padding and non-finite steps."""

import dataclasses
import functools
import types

import jax
import numpy as np
import pytest

from bigru_jax import parallel
from bigru_jax.config import Config
from bigru_jax.data.batching import EncodedSplit
from bigru_jax.data.ragged import pack
from bigru_jax.data.splits import Table
from bigru_jax.data.unlabelled import UnlabelledTexts
from bigru_jax.models.build import init_params, make_classifier
from bigru_jax.tasks import make_task
from bigru_jax.training import fit
from bigru_jax.training.display import Display
from bigru_jax.training.program import Program
from bigru_jax.training.trainer import EpochSummary, Trainer

CONFIG = Config(
  embedding_size=8, hidden_size=6, batch_size=8, epochs=1, dropout=0.5,
  embedding_dropout=0.5, recurrent_dropout=0.3,
)  # fmt: skip
WITHOUT_LABELS = {
  'unlabelled': 'texts.csv', 'virtual_adversarial': 0.5, 'entropy_weight': 0.1,
}  # fmt: skip


def _split(hierarchical=False, count=20, seed=0):
  rng = np.random.default_rng(seed)
  lengths = rng.choice([2, 6], count)
  tokens = pack([rng.integers(1, 20, length) for length in lengths])
  labels = rng.integers(0, 3, count).astype(np.int32)
  weights = np.array([1.0, 2.0, 0.5], np.float32)[labels]
  table = Table({'tokens': tokens, 'label': labels, 'weight': weights})
  if not hierarchical:
    return EncodedSplit(table=table, buckets=[2, 6])
  # Two sentences of one token, or three of one to four.
  sentences = [[1, 1] if n == 2 else [4, 1, 1] for n in lengths]
  table = table.with_columns(sentences=pack(sentences))
  return EncodedSplit(table=table, buckets=[2, 3], sentence_length=4)


def _trainer(mesh, config=CONFIG, words=20):
  split = _split(config.model == 'hierarchical')
  if config.entity_pooling:
    split = dataclasses.replace(split, markers=(2, 3, 4, 5))
  task = make_task(config, 'abc')
  model = make_classifier(config, words, task.num_outputs)
  params = init_params(model, config.seed)
  splits = {'train': split, 'validation': split}
  program = Program(task=task, model=model, params=params)
  texts = UnlabelledTexts(tokens=_split(seed=1).table['tokens'], keep='head')
  unlabelled = texts if config.unlabelled else None
  return Trainer(config, program, splits, mesh, unlabelled)


def _train_epoch(trainer: Trainer, epoch: int = 1) -> EpochSummary:
  *_, last_step = trainer.train_epoch(epoch)
  return last_step.summary


def _trained(config):
  """The parameters after an epoch on one device."""
  mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), (parallel.DATA_AXIS,))
  trainer = _trainer(mesh, config)
  _train_epoch(trainer, 1)
  return jax.device_get(trainer.state.evaluated_params)


@pytest.fixture(scope='module')
def plain():
  """Parameters by pooling, trained without regularizers."""
  return functools.cache(
    lambda name: _trained(dataclasses.replace(CONFIG, pooling=name))
  )


@pytest.mark.parametrize(
  'options',
  [
    {'word_dropout': 0.3},
    {'weight_drop': 0.3},
    {'ema_decay': 0.9},
    {'adversarial': 0.5},
    {'virtual_adversarial': 0.5},
    {'entropy_weight': 0.5},
    {'r_drop': 1.0},
    {'mixup': 1.0},
    {'spatial_dropout': 0.3},
    {'pooling': 'structured', 'attention_penalty': 1.0},
    {'embedding_learning_rate_factor': 0.5},
  ],
)
def test_each_regularizer_changes_what_is_learned(plain, options):
  params = _trained(dataclasses.replace(CONFIG, **options))
  without = plain(options.get('pooling', CONFIG.pooling))
  pairs = zip(jax.tree.leaves(params), jax.tree.leaves(without))
  assert not all(np.allclose(a, b, atol=1e-5) for a, b in pairs)


@pytest.mark.parametrize(
  'options',
  [
    {},
    {'model': 'hierarchical', 'word_dropout': 0.2, 'r_drop': 1.0},
    {'model': 'hierarchical', 'spatial_dropout': 0.2, 'mixup': 1.0},
    WITHOUT_LABELS,
    *(
      pytest.param(options, marks=pytest.mark.slow)
      for options in (
        {'weight_drop': 0.3, 'ema_decay': 0.9, 'word_dropout': 0.2},
        {'adversarial': 0.5, 'virtual_adversarial': 0.5},
        {'pooling': 'structured', 'attention_penalty': 0.1, 'num_heads': 2},
        {'pooling': 'entity'},
        {'optimizer': 'lazy_adamw'},
        {'pooling': 'entity+max', 'spatial_dropout': 0.3, 'mixup': 1.0},
      )
    ),
  ],
)
def test_the_number_of_devices_does_not_matter(options):
  results = []
  config = dataclasses.replace(CONFIG, **options)
  for count in (1, 4):
    devices = np.array(jax.devices()[:count])
    mesh = jax.sharding.Mesh(devices, (parallel.DATA_AXIS,))
    trainer = _trainer(mesh, config)
    trained = _train_epoch(trainer, 1)
    validated, _ = trainer.evaluate(trainer.splits['validation'])
    params = jax.device_get(trainer.state.evaluated_params)
    results.append((trained.loss, validated, params))
  (loss, found, params), (loss_n, found_n, params_n) = results
  assert np.isclose(loss, loss_n, rtol=1e-5)
  assert np.isclose(found['loss'], found_n['loss'], rtol=1e-5)
  assert found['examples'] == found_n['examples'] == 20
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), params, params_n
  )


@pytest.mark.parametrize(
  'options',
  [
    {'word_dropout': 0.2, 'embedding_learning_rate_factor': 0.5},
    *(
      pytest.param(options, marks=pytest.mark.slow)
      for options in (
        {'model': 'hierarchical', 'word_dropout': 0.2, 'r_drop': 1.0},
        {'adversarial': 0.5, 'virtual_adversarial': 0.5},
        WITHOUT_LABELS,
        {'encoder': 'average', 'pooling': 'mean', 'recurrent_dropout': 0.0},
        {'pooling': 'entity'},
        {'pooling': 'label_wise'},
      )
    ),
  ],
)
def test_rows_that_wait_end_as_with_adamw(options):
  config = dataclasses.replace(CONFIG, epochs=2, learning_rate=0.01, **options)
  results = []
  for optimizer in ('adamw', 'lazy_adamw'):
    mesh = parallel.mesh_of(jax.devices()[:1])
    config = dataclasses.replace(config, optimizer=optimizer)
    trainer = _trainer(mesh, config, words=200)
    for epoch in (1, 2):
      _train_epoch(trainer, epoch)
    results.append(trainer.state)
  dense, lazy = results
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=3e-6),
    (dense.params, dense.opt_state),
    (lazy.params, lazy.opt_state.dense),
  )


def test_texts_without_labels_count_in_the_throughput():
  mesh = parallel.make_mesh(8)
  config = dataclasses.replace(CONFIG, **WITHOUT_LABELS)
  trainer = _trainer(mesh, config)
  plan = trainer.splits['train'].plan(8, config.seed, 1)
  texts = trainer.unlabelled.plan(plan, 8, config.seed, 1)
  summary = trainer._summarize(plan, texts, seconds=1.0)
  assert summary.examples == 20 + 3 * 8
  assert summary.tokens == (
    _split().table['tokens'].lengths.sum()
    + trainer.unlabelled.num_tokens(plan, texts)
  )


def test_the_padding_vector_stays_zero_in_training():
  trainer = _trainer(parallel.make_mesh(8))
  before = np.asarray(trainer.state.params['embedding'])
  _train_epoch(trainer, 1)
  after = np.asarray(trainer.state.params['embedding'])
  np.testing.assert_array_equal(after[0], 0)
  used = np.unique(_split().table['tokens'].values)
  assert (after[used] != before[used]).any(axis=1).all()


def test_the_evaluated_loss_is_weighted_by_class():
  trainer = _trainer(parallel.make_mesh(8))
  split, params = _split(), jax.device_get(trainer.state.params)
  model = make_classifier(CONFIG, 20, 3)
  batch = split.batch(np.arange(20), 6, 20)
  logits = np.asarray(model.apply({'params': params}, batch).logits)
  log_sum = np.log(np.exp(logits).sum(1))
  losses = log_sum - logits[np.arange(20), split.table['label']]
  expected = np.average(losses, weights=split.table['weight'])
  assert np.isclose(
    trainer.evaluate(trainer.splits['validation'])[0]['loss'],
    expected,
    rtol=1e-5,
  )


def test_a_step_that_is_not_finite_changes_nothing_and_is_counted():
  trainer = _trainer(parallel.make_mesh(8))
  _train_epoch(trainer, 1)
  output = trainer.state.params['output']
  broken = {**output, 'kernel': output['kernel'] * np.inf}
  trainer.state = trainer.state.replace(
    params={**trainer.state.params, 'output': broken}
  )
  before = jax.device_get((trainer.state.params, trainer.state.opt_state))
  trained = _train_epoch(trainer, 2)
  assert trained.nonfinite_steps == trainer.steps_per_epoch
  after = jax.device_get((trainer.state.params, trainer.state.opt_state))
  jax.tree.map(np.testing.assert_array_equal, before, after)
  with pytest.raises(ValueError, match='max_nonfinite_steps=10: .* step 1'):
    for epoch in range(3, 9):
      _train_epoch(trainer, epoch)


def test_a_run_with_the_former_name_of_a_metric_resumes():
  best = {'step': 4, 'epoch': 1, 'loss': 0.5, 'semeval2010': 0.8}
  saved = dataclasses.asdict(
    fit.Progress(best=best, lines=[best], save_seconds=2.0)
  )
  checkpoints = types.SimpleNamespace(
    seconds=1.0, restore=lambda state: (state, saved)
  )
  trainer = types.SimpleNamespace(state=None, config=Config())
  progress = fit._resume(trainer, checkpoints, Display())
  assert progress.best == progress.lines[0]
  assert progress.best['semeval2010_f1'] == 0.8
  assert checkpoints.seconds == 3.0  # The earlier process's are not lost.
