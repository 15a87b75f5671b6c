"""The step with a loss function and a train state of the test's own."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bigru_jax import parallel
from bigru_jax.ops.dropout import example_keys
from bigru_jax.training.state import TrainState
from bigru_jax.training.step import make_train_step


def test_three_steps_equal_adams_on_any_loss_function():
  """Least squares on a batch whose fields the step does not know."""
  rng = np.random.default_rng(0)
  batch = {
    'inputs': rng.normal(size=(8, 3)).astype(np.float32),
    'targets': rng.normal(size=8).astype(np.float32),
    'weights': np.array([1, 1, 1, 1, 1, 1, 0, 0], np.float32),
  }

  def loss_fn(params, batch, keys_B):
    del keys_B
    residual = batch['inputs'] @ params['kernel'] - batch['targets']
    return residual**2, residual

  optimizer = optax.adam(0.1)
  mesh = parallel.make_mesh(8)
  state = TrainState.create({'kernel': jnp.ones(3)}, optimizer)
  state = jax.device_put(state, parallel.shardings(state, mesh))
  step = make_train_step(loss_fn, optimizer, mesh, seed=0)
  expected, m, v, losses = np.ones(3), np.zeros(3), np.zeros(3), []
  for t in range(1, 4):
    residual = (batch['inputs'] @ expected - batch['targets'])[:6]
    losses.append((residual**2).mean())
    g = 2 * batch['inputs'][:6].T @ residual / 6
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
    mhat, vhat = m / (1 - 0.9**t), v / (1 - 0.999**t)
    expected = expected - 0.1 * mhat / (np.sqrt(vhat) + 1e-8)
    state, nonfinite = step(state, parallel.place_batch(batch, mesh))
  np.testing.assert_allclose(state.params['kernel'], expected, rtol=1e-4)
  np.testing.assert_allclose(state.loss_sum, sum(losses), rtol=1e-5)
  assert int(state.step) == 3 and int(nonfinite) == 0


def test_a_gradient_that_is_not_finite_changes_nothing():
  def loss_fn(params, batch, keys_B):
    del keys_B
    return jnp.sqrt(batch['x'] * params['kernel']), None  # 0, with slope inf.

  optimizer, mesh = optax.adam(0.1), parallel.make_mesh(4)
  state = TrainState.create({'kernel': jnp.zeros(())}, optimizer)
  state = jax.device_put(state, parallel.shardings(state, mesh))
  step = make_train_step(loss_fn, optimizer, mesh, seed=0)
  batch = {'x': np.ones(4, np.float32), 'weights': np.ones(4, np.float32)}
  state, nonfinite = step(state, parallel.place_batch(batch, mesh))
  assert int(nonfinite) == 1 and float(state.params['kernel']) == 0
  assert all((x == 0).all() for x in jax.tree.leaves(state.opt_state))


def test_dropout_keys_depend_on_seed_step_and_index():
  def data(*arguments):
    return jax.random.key_data(example_keys(*arguments)).tolist()

  assert data(0, 5, 4) == data(0, 5, 4)
  assert data(0, 5, 4) == data(0, 5, 8)[:4]
  different = [data(0, 5, 2), data(0, 6, 2), data(1, 5, 2)]
  assert len({tuple(key) for keys in different for key in keys}) == 6


def _linear_loss(params, batch, keys_B):
  del keys_B
  residual = batch['x'] @ params['recurrent_kernel'] - batch['y']
  return residual**2, residual


def _linear_batch():
  rng = np.random.default_rng(0)
  return {
    'x': rng.normal(size=(8, 6)).astype(np.float32),
    'y': rng.normal(size=8).astype(np.float32),
    'weights': np.ones(8, np.float32),
  }


def test_the_average_of_the_parameters_equals_its_formula():
  batch, mesh, optimizer = (
    _linear_batch(),
    parallel.make_mesh(8),
    optax.sgd(0.05),
  )
  start = {'recurrent_kernel': jnp.ones(6)}
  state = TrainState.create(start, optimizer, averaged=True)
  state = jax.device_put(state, parallel.shardings(state, mesh))
  step = make_train_step(_linear_loss, optimizer, mesh, seed=0, ema_decay=0.3)
  expected = np.ones(6)
  for t in range(5):
    state, _ = step(state, parallel.place_batch(batch, mesh))
    decay = min(0.3, (1 + t) / (10 + t))  # 0.1, 0.18, 0.25, 0.3, 0.3.
    params = np.asarray(state.params['recurrent_kernel'])
    expected = decay * expected + (1 - decay) * params
  found = state.evaluated_params['recurrent_kernel']
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_weight_drop_trains_only_the_kept_weights():
  batch, optimizer = _linear_batch(), optax.sgd(0.05)
  changed = []
  for devices in (1, 8):
    mesh = jax.sharding.Mesh(
      np.array(jax.devices()[:devices]), (parallel.DATA_AXIS,)
    )
    state = TrainState.create({'recurrent_kernel': jnp.ones(6)}, optimizer)
    state = jax.device_put(state, parallel.shardings(state, mesh))
    step = make_train_step(
      _linear_loss, optimizer, mesh, seed=0, weight_drop_rate=0.5
    )
    state, _ = step(state, parallel.place_batch(batch, mesh))
    changed.append(np.asarray(state.params['recurrent_kernel']) - 1)
  kept = changed[0] != 0
  assert 0 < kept.sum() < 6
  dropped = kept / 0.5
  gradient = 2 * batch['x'].T @ (batch['x'] @ dropped - batch['y']) / 8
  np.testing.assert_allclose(changed[0], -0.05 * gradient * dropped, rtol=1e-4)
  np.testing.assert_allclose(changed[1], changed[0], rtol=1e-5)
