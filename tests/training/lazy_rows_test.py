"""Lazy AdamW against optax.adamw in double precision."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bigru_jax import optimizers, parallel
from bigru_jax.training import lazy_rows
from bigru_jax.training.state import TrainState
from bigru_jax.training.step import make_train_step

V, E, B, T = 400, 5, 4, 6
STEPS, STEPS_PER_EPOCH, NONFINITE = 1000, 500, (3, 4, 700)
RATE, DECAY, CLIP = 1e-3, 0.1, 0.5
TRAINED = V - 10


def _loss(params, batch, keys_B):
  """A loss whose gradients are in the batch."""
  del keys_B
  x_BxTxE = params['embedding'][batch['tokens']] + params['kernel']
  return jnp.sum(x_BxTxE * batch['gradients'], (1, 2)), None


def _batches():
  """Frequent and rare words, and gradients of very different sizes."""
  rng = np.random.default_rng(0)
  shape = STEPS, B, T
  scale = 10.0 ** rng.uniform(-9, 0, (*shape, 1))
  gradients = scale * rng.normal(size=(*shape, E))
  gradients[NONFINITE, 0] = np.nan
  return {
    'tokens': (TRAINED * rng.random(shape) ** 4).astype(np.int32),
    'gradients': gradients.astype(np.float32),
    'weights': np.ones((STEPS, B), np.float32),
  }


def _start(dtype):
  table = np.random.default_rng(1).uniform(-0.25, 0.25, (V, E))
  params = {'embedding': table.astype(np.float32), 'kernel': np.zeros(E)}
  return jax.tree.map(lambda x: jnp.asarray(x, dtype), params)


def _dense(batches, schedule):
  """Returns the parameters and the state of optax.adamw, in float64."""
  optimizer = optax.chain(
    optax.clip_by_global_norm(CLIP), optax.adamw(schedule, weight_decay=DECAY)
  )

  def step(carry, batch):
    params, state = carry
    loss, grads = jax.value_and_grad(
      lambda params: _loss(params, batch, None)[0].mean()
    )(params)
    updates, new_state = optimizer.update(grads, state, params)
    changed = optax.apply_updates(params, updates), new_state
    is_finite = jnp.isfinite(loss)
    return jax.tree.map(
      lambda new, old: jnp.where(is_finite, new, old), changed, carry
    ), None

  with jax.enable_x64(True):
    params = _start(jnp.float64)
    carry = params, optimizer.init(params)
    return jax.device_get(jax.jit(jax.lax.scan, static_argnums=0)(
      step, carry, batches
    )[0])  # fmt: skip


def test_a_thousand_steps_equal_dense_adamw():
  schedule = optimizers.make_schedule('cosine', RATE, 0.05, STEPS)
  batches = _batches()
  optimizer = lazy_rows.LazyAdamW(
    optimizers.make_optimizer('adamw', schedule, DECAY, CLIP),
    STEPS_PER_EPOCH,
    TRAINED,
  )
  mesh = parallel.mesh_of(jax.devices()[:1])
  step = make_train_step(_loss, optimizer, mesh, 0)
  step = step.__wrapped__  # Options of the compiler exclude the scan.
  epoch = jax.jit(lambda state, batches: jax.lax.scan(step, state, batches)[0])
  start = _start(jnp.float32)
  state = TrainState.create(start, optimizer)
  in_epochs = jax.tree.map(
    lambda x: np.split(x, STEPS // STEPS_PER_EPOCH), batches
  )
  for i in range(STEPS // STEPS_PER_EPOCH):
    state = epoch(state, {name: x[i] for name, x in in_epochs.items()})
    last = state.opt_state.last_step[:TRAINED]
    waiting = (i + 1) * STEPS_PER_EPOCH - last
    assert waiting.max() > 200 > waiting.min()
    state = jax.jit(lazy_rows.catch_up)(state)
  expected, (_, (adam, *_)) = _dense(batches, schedule)
  assert state.opt_state.last_step[0] == adam.count == STEPS - len(NONFINITE)
  # Rows after these are of words unseen in training.
  table = state.params['embedding']
  np.testing.assert_array_equal(table[TRAINED:], start['embedding'][TRAINED:])
  for lazy, dense in (
    (table[:TRAINED], expected['embedding'][:TRAINED]),
    (state.params['kernel'], expected['kernel']),
  ):
    np.testing.assert_allclose(lazy, dense, rtol=0, atol=1e-6)
  for name, dense in (('mu', adam.mu), ('nu', adam.nu)):
    moments = optax.tree.get(state.opt_state.dense, name)
    np.testing.assert_allclose(
      moments['embedding'], dense['embedding'], rtol=1e-3, atol=1e-20
    )
