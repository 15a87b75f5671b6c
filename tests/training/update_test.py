"""The update of the parameters against optax's."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bigru_jax import optimizers, parallel
from bigru_jax.ops import cpu
from bigru_jax.training import update

FACTORS = {'embedding': 0.1, 'output': 0.5}


def _params(rng, scale=1.0):
  def normal(*shape):
    return jnp.asarray(scale * rng.normal(size=shape), jnp.float32)

  output = {'kernel': normal(5, 4), 'bias': normal(4)}
  return {'embedding': normal(9, 5), 'output': output}


@pytest.mark.skipif(
  not cpu.instruction_sets(), reason='the kernels are not compiled'
)
@pytest.mark.parametrize(
  'options',
  [
    {'name': 'adam'},
    {},
    {'clip_norm': 1.0},
    {'clip_norm': 1.0, 'freeze_embeddings': True},
    {'clip_norm': 1.0, 'learning_rate_factors': {'embedding': 0.1}},
    {'num_trained_words': 4, 'learning_rate_factors': FACTORS},
    {'freeze_embeddings': True, 'learning_rate_factors': FACTORS},
    {'learning_rate': optimizers.make_schedule('cosine', 0.1, 0.1, 40)},
  ],
  ids=lambda options: '-'.join(options) or 'default',
)
def test_the_steps_of_one_cpu_are_optaxs(options):
  """Over 40 steps, two of which have gradients that are not finite."""
  mesh = parallel.mesh_of(jax.devices()[:1])
  optimizer = optimizers.make_optimizer(
    **{'learning_rate': 0.01, 'weight_decay': 0.1, **options}
  )
  assert isinstance(optimizer, optimizers.Adam)
  plain = optax.GradientTransformation(optimizer.init, optimizer.update)

  def stepper(optimizer):
    return jax.jit(
      lambda *arguments: update.apply(optimizer, mesh, *arguments),
      donate_argnums=(2, 3),
    )

  fused, reference = stepper(optimizer), stepper(plain)
  rng = np.random.default_rng(0)
  params = _params(rng)
  state = plain.init(params)
  reference_params, reference_state = jax.tree.map(jnp.copy, (params, state))
  arguments = jnp.float32(0), params, state, params
  assert 'bigru_jax_Adamw' in fused.lower(*arguments).as_text()
  assert 'bigru_jax_Adamw' not in reference.lower(*arguments).as_text()
  for i in range(40):
    loss = jnp.float32(np.nan if i == 30 else 1)
    scale = {10: np.nan, 20: np.inf}.get(i, 10.0 ** rng.integers(-3, 2))
    grads = _params(rng, scale)
    before = jax.device_get((params, state))
    params, state, finite = fused(loss, grads, state, params)
    reference_params, reference_state, _ = reference(
      loss, grads, reference_state, reference_params
    )
    assert bool(finite) == (i not in (10, 20, 30))
    if not finite:
      jax.tree.map(np.testing.assert_array_equal, before, (params, state))
  expected = reference_params, reference_state
  assert jax.tree.structure((params, state)) == jax.tree.structure(expected)
  for x, y in zip(jax.tree.leaves((params, state)), jax.tree.leaves(expected)):
    tolerance = 5e-7 * float(jnp.abs(y).max())
    np.testing.assert_allclose(x, y, rtol=0, atol=tolerance)


def test_an_optimizer_of_ones_own_makes_optaxs_steps():
  """And so do all on several devices, over which a table is sharded."""
  params = _params(np.random.default_rng(0))
  grads, loss = jax.tree.map(jnp.ones_like, params), jnp.float32(1)
  optimizer = optax.lion(0.1)
  mesh = parallel.mesh_of(jax.devices()[:1])
  state = optimizer.init(params)
  updates, expected_state = optimizer.update(grads, state, params)
  expected = optax.apply_updates(params, updates), expected_state
  results = update.apply(optimizer, mesh, loss, grads, state, params)
  jax.tree.map(np.testing.assert_array_equal, results[:2], expected)
  optimizer = optimizers.make_optimizer()
  state = optimizer.init(params)
  apply = jax.jit(
    lambda *arguments: update.apply(
      optimizer, parallel.mesh_of(jax.devices()), *arguments
    )
  )
  assert 'Adamw' not in apply.lower(loss, grads, state, params).as_text()
