"""Results are float32 and int32 in all of JAX's modes."""

import contextlib
import json
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bigru_jax import Config, Ensemble, load, parallel, train
from bigru_jax.data.encode import encode, make_split
from bigru_jax.data.ragged import pack
from bigru_jax.evaluation.calibration import fit_temperature
from bigru_jax.explain.attributions import attribute
from bigru_jax.interop.stablehlo import to_stablehlo
from bigru_jax.models.build import init_params, make_classifier
from bigru_jax.models.pooling import POOLINGS, poolings_that
from bigru_jax.tasks import MultiLabel, make_loss_fn, make_task
from bigru_jax.training.state import TrainState
from bigru_jax.training.step import make_train_step

MODES = {
  'jax_enable_x64': True,
  'jax_numpy_dtype_promotion': 'strict',
  'jax_numpy_rank_promotion': 'raise',
}
TEXTS = [f'a {x} film {i}' for i in range(40) for x in ('good', 'bad')]
CORPUS = {'train': (TEXTS, ['pos', 'neg'] * 40)}
SIZES = {
  'hidden_size': 4, 'embedding_size': 4, 'batch_size': 16,
  'schedule': 'constant', 'warmup': 0.0, 'ema_decay': 0.9,
}  # fmt: skip


@contextlib.contextmanager
def _modes(**modes):
  """Sets JAX's modes for the whole process, so that all threads see them."""
  before = {name: getattr(jax.config, name) for name in modes}
  try:
    for name, value in modes.items():
      jax.config.update(name, value)
    yield
  finally:
    for name, value in before.items():
      jax.config.update(name, value)


def _types(tree):
  return {str(x.dtype) for x in jax.tree.leaves(tree)}


def _batch(multi_label):
  labels = np.ones((4, 3), bool) if multi_label else np.ones(4, np.int32)
  return {
    'tokens': np.ones((4, 4), np.int32),
    'lengths': np.full(4, 3, np.int32),
    'entities': np.ones((4, 4), np.int32),
    'sentence_lengths': np.ones(4, np.int32),
    'sentence_mask': np.eye(4, dtype=bool)[:, :1] | np.ones((4, 1), bool),
    'labels': labels,
    'weights': np.ones(4, np.float32),
  }


@pytest.mark.parametrize('task', ['single_label', 'multi_label'])
@pytest.mark.parametrize(
  'model, pooling',
  [('flat', x) for x in POOLINGS]
  + [('hierarchical', x) for x in poolings_that('fits_any_states')],
)
def test_a_step_of_any_model_is_float32_with_x64(model, pooling, task):
  """Tests the modules and the step without the protection of `train`."""
  config = Config(model=model, pooling=pooling, task=task, **SIZES)
  of_task = make_task(config, 'abc')
  module = make_classifier(config, 9, of_task.num_outputs)
  batch = _batch(task == 'multi_label')
  with _modes(jax_enable_x64=True):
    key = jax.random.key(0)
    params = jax.eval_shape(module.init, key, batch)['params']
    optimizer = optax.adamw(1e-3)
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), (parallel.DATA_AXIS,))
    step = make_train_step(
      make_loss_fn(module, of_task), optimizer, mesh, 0, ema_decay=0.9
    )
    state = jax.eval_shape(
      lambda params: TrainState.create(params, optimizer, averaged=True), params
    )
    after, _ = jax.eval_shape(step, state, batch)
    outputs = jax.eval_shape(module.apply, {'params': params}, batch)
  assert _types(params) == {'float32'}
  assert _types((outputs.logits, outputs.attention)) == {'float32'}
  assert jax.tree.map(_type, after) == jax.tree.map(_type, state)
  assert _types(after) == {'float32', 'int32'}


def _type(x):
  return x.shape, x.dtype


def _attributions(run):
  limits = run.config.limits
  ids = [encode(text, run.tokenizer, limits).ids for text in TEXTS[:8]]
  split = make_split(pack(ids), np.zeros(8, np.int32), 2)
  task = make_task(run.config, run.labels)
  params = jax.device_get(run.params)
  return attribute(run.model, task, params, split)


def _exported(run):
  tokens, lengths = np.full((2, 3), 2, np.int32), np.full(2, 3, np.int32)
  return jax.device_get(to_stablehlo(run).call(tokens, lengths))


def _answers(run):
  return {
    'types': sorted(_types(run.params)),
    'predictions': run.predict(TEXTS[:4], calibrated=True),
    'metrics': run.evaluate(TEXTS[:4], ['pos', 'neg'] * 2),
    'ensemble': Ensemble([run, run]).evaluate(TEXTS[:4], ['pos', 'neg'] * 2),
    'attributions': jax.tree.map(np.asarray, _attributions(run)),
    'exported': _exported(run),
  }


def test_an_opened_run_predicts_the_same_bits_in_all_modes(run_directory):
  texts = ['x y z', 'a b']
  expected = load(run_directory).predict(texts)
  with _modes(**MODES):
    run = load(run_directory)
    assert run.predict(texts) == expected
    initial = init_params(run.model, 0)
  assert _types((run.params, initial)) == {'float32'}
  jax.tree.map(
    np.testing.assert_array_equal, initial, init_params(run.model, 0)
  )


@pytest.mark.slow
def test_a_run_gives_the_same_bits_in_all_modes(tmp_path):
  config = Config(epochs=1, **SIZES)
  with _modes(**MODES):
    trained = train(config, tmp_path / 'run', CORPUS)
    answers = [_answers(trained), _answers(load(tmp_path / 'run'))]
    assert jnp.zeros(1).dtype == jnp.float64  # The mode is still on.
  expected = _answers(load(tmp_path / 'run'))
  assert expected['types'] == ['float32']
  for found in answers:
    jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.slow
@pytest.mark.parametrize('first, second', [({}, MODES), (MODES, {})])
def test_a_run_resumes_in_another_mode_to_the_same_bits(
  tmp_path, first, second
):
  expected = train(Config(epochs=2, **SIZES), tmp_path / 'other', CORPUS)
  with _modes(**first):
    train(Config(epochs=1, **SIZES), tmp_path / 'run', CORPUS)
  with _modes(**second):
    resumed = train(Config(epochs=2, **SIZES), tmp_path / 'run', CORPUS)
  assert not (tmp_path / 'run' / 'quarantine').exists()
  jax.tree.map(np.testing.assert_array_equal, resumed.params, expected.params)
  results = [
    json.loads((tmp_path / x / 'result.json').read_text())['test']
    for x in ('run', 'other')
  ]
  assert results[0] == results[1]


@pytest.mark.parametrize('task', ['single_label', 'multi_label'])
def test_the_temperature_is_the_same_in_all_modes(task):
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(50, 3)).astype(np.float32)
  if task == 'multi_label':
    of_task, labels = MultiLabel(3), rng.random((50, 3)) < 0.5
  else:
    of_task = make_task(Config(), 'abc')
    labels = rng.integers(0, 3, 50).astype(np.int32)
  expected = fit_temperature(of_task, logits, labels)
  with _modes(**MODES):
    assert fit_temperature(of_task, logits, labels) == expected


def test_pickling_a_run_says_what_to_do_instead(run_directory):
  run = load(run_directory)
  with pytest.raises(TypeError, match='load.workdir. opens workdir='):
    pickle.dumps(run)
  with pytest.raises(TypeError, match='load_ensemble'):
    pickle.dumps(Ensemble([run]))
